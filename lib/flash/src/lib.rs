//! The RTMFP cryptography profile of Flash communication (RFC 7425 section 4).
