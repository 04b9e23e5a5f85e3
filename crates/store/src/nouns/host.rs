//! Hosts.

use pilothouse_model::{Host, HostId};

super::plain_noun!(Host, HostId, Host, hosts, |host| host.id);
