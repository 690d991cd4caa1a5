//! Rules of RFC 9113 and RFC 7541.
