//! Misuses that do not compile.
