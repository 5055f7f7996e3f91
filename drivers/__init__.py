"""Device drivers. They import nothing of the other packages."""
