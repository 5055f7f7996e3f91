"""The virtual courtroom: real peers for tests, written without the code under test."""
