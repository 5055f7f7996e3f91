"""The process that decides: schedule, hearing, upstream, console; and the `courtroom` command."""
