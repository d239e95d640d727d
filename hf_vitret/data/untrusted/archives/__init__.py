"""Extract untrusted archives safely."""
