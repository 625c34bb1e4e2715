//! An RTMFP cryptography profile without cryptography, for tests only.
