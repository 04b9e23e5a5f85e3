"""What conformance tests share: a Pilothouse of their own, its API, its processes, waiting."""
