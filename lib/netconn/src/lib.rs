//! NetConnection and NetStream over RTMFP and RTMP, with real-time policy.
