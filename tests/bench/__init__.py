"""Benchmarks: they measure and report; nothing here is collected as a test or asserts a timing."""
