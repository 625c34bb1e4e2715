//! RTMFP (RFC 7016) transport, sans-I/O.
