//! RTMP over a byte stream, sans-I/O.
