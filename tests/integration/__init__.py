"""The servers of compose.yaml in containers. A package, so that its containers end with its last test."""
