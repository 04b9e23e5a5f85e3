//! Transfers to and from real directories and real sockets, with small HTTP, FTP and S3 servers of our own at the other end.

mod directory;
mod ftp;
mod http;
mod s3;
mod s3_server;
mod servers;
mod support;
mod tls;
