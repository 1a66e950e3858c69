"""What benchmarks, tests and the README's pictures share: photos, a web server, a model hub, the app as a process."""
