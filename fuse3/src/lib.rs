//! libfuse 3's low-level API, safe, with python-llfuse's global lock.
