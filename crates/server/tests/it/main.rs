//! The program as people and service managers see it: arguments in, exit code and text out.

mod bodies;
mod command_line;
mod gateway;
mod installation;
mod metrics;
mod program;
mod sources;
mod start;
mod transfers;
mod upgrade;
