//! Transfers to and from real directories and real sockets, with small HTTP and FTP servers of our own at the other end.

mod directory;
mod ftp;
mod http;
mod servers;
mod support;
mod tls;
