//! The `quantlib` command as a library, so that the Python wheel can expose it too.
