//! Who is at the other end: the kernel says it, nobody has to log in.

use axum::extract::FromRequestParts;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::request::Parts;
use axum::serve::IncomingStream;
use pilothouse_control::{Caller, TenantScope};
use pilothouse_model::Dialect;
use tokio::net::UnixListener;

use crate::error::Failure;
use crate::handlers::App;

/// The account at the other end; `None` when the kernel does not tell, and then nobody is let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

impl Peer {
    /// The account, when it may use this API: our own, or root.
    fn admitted(self, own: u32) -> Option<u32> {
        self.0.filter(|uid| *uid == own || *uid == 0)
    }
}

/// A caller that was let in.
pub(crate) struct Admitted(pub(crate) Caller);

impl FromRequestParts<App> for Admitted {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<Peer>>()
            .and_then(|info| info.0.admitted(app.own_uid()));
        let uid = peer.ok_or_else(Failure::forbidden)?;
        Ok(Self(Caller {
            dialect: Dialect::Local,
            actor: format!("user:uid-{uid}"),
            scope: TenantScope::All,
            tenant: app.control().default_tenant(),
            settles: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_account_and_root_are_let_in() {
        for (peer, own, admitted) in [
            (Some(0), 1000, true),
            (Some(1000), 1000, true),
            (Some(1001), 1000, false),
            (Some(1000), 0, false),
            (None, 0, false),
        ] {
            assert_eq!(Peer(peer).admitted(own).is_some(), admitted, "{peer:?} {own}");
        }
    }
}
