//! AMF, FLV, media classification and the message vocabulary of RTMP.
