//! The client's state machine, without a connection.

use pilothouse_model::Endpoint;

use super::*;

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        address: [127, 0, 0, 1].into(),
        port,
    }
}

fn held(database: DatabaseId, port: u16) -> Route {
    Route {
        database,
        endpoint: endpoint(port),
        state: RouteState::Held,
        source_allow: Vec::new(),
        max_connections: 0,
    }
}

fn failure(database: DatabaseId, port: u16) -> BindFailure {
    BindFailure {
        database,
        address: SocketAddr::new(endpoint(port).address, port),
        reason: "taken".into(),
    }
}

fn reserve(database: DatabaseId, port: u16) -> Change {
    Change::Reserve {
        database,
        endpoint: endpoint(port),
    }
}

/// A state with a connection, and what it sends.
fn connected(initial: Vec<Route>) -> (State, mpsc::UnboundedReceiver<ToGateway>) {
    let mut state = State::new(initial);
    let outbox = connect(&mut state).0;
    (state, outbox)
}

fn connect(state: &mut State) -> (mpsc::UnboundedReceiver<ToGateway>, ToGateway) {
    let (sender, outbox) = mpsc::unbounded_channel();
    let peer = GatewayPeer {
        pid: 1,
        program: "test".into(),
    };
    let table = state.connected(peer, sender);
    (outbox, table)
}

fn routes(state: &State) -> Vec<Route> {
    match state.table() {
        ToGateway::Table { routes, .. } => routes,
        other => panic!("{other:?} is no table"),
    }
}

#[test]
fn revisions_follow_each_other_and_an_answer_settles_all_before_it() {
    let (mut state, mut outbox) = connected(Vec::new());
    let database = DatabaseId::new();
    let (_, mut first) = state.change(Change::Set(held(database, 1))).unwrap();
    let (_, mut second) = state.change(Change::Remove { database }).unwrap();
    let (_, mut synced) = state.wait_for_sync().unwrap();
    for expected in [1, 2] {
        let sent = outbox.try_recv().unwrap();
        assert!(
            matches!(sent, ToGateway::Delta { revision, .. } if revision == expected),
            "{sent:?}"
        );
    }
    state.answered(FromGateway::Applied { revision: 1 });
    assert!(first.try_recv().unwrap().is_ok());
    assert!(
        second.try_recv().is_err() && synced.try_recv().is_err(),
        "not answered yet"
    );
    state.answered(FromGateway::Applied { revision: 2 });
    assert!(second.try_recv().unwrap().is_ok() && synced.try_recv().unwrap().is_ok());
    assert!(state.wait_for_sync().is_none());
}

#[test]
fn what_was_asked_while_the_gateway_was_away_is_in_its_table() {
    let mut state = State::new(Vec::new());
    let (good, bad, reserved) = (DatabaseId::new(), DatabaseId::new(), DatabaseId::new());
    let (_, mut one) = state.change(Change::Set(held(good, 1))).unwrap();
    let (_, mut two) = state.change(Change::Set(held(bad, 2))).unwrap();
    let (_, mut three) = state.change(reserve(reserved, 3)).unwrap();
    let (_, load) = state.load().unwrap();
    let (mut outbox, table) = connect(&mut state);
    assert!(
        matches!(&table, ToGateway::Table { revision: 3, routes } if routes.len() == 3),
        "{table:?}"
    );
    assert!(
        matches!(outbox.try_recv(), Ok(ToGateway::Load { .. })),
        "a load is asked again"
    );

    let failures = vec![failure(bad, 2), failure(reserved, 3)];
    state.answered(FromGateway::TableApplied { revision: 3, failures });
    assert!(one.try_recv().unwrap().is_ok());
    assert!(matches!(two.try_recv().unwrap(), Err(GatewayError::Bind { .. })));
    assert!(matches!(three.try_recv().unwrap(), Err(GatewayError::Bind { .. })));
    assert_eq!(
        routes(&state),
        [held(good, 1), held(bad, 2)],
        "a route stays desired, a reservation does not"
    );
    let sent = outbox.try_recv().unwrap();
    let expected = Change::Remove { database: reserved };
    assert_eq!(
        sent,
        ToGateway::Delta {
            revision: 4,
            change: expected
        }
    );
    drop(load);
}

#[test]
fn a_refused_change_is_undone_unless_a_newer_one_came() {
    let database = DatabaseId::new();
    let (mut state, _outbox) = connected(vec![held(database, 1)]);
    let (_, mut first) = state.change(Change::Set(held(database, 2))).unwrap();
    let failed = |revision, port| FromGateway::Failed {
        revision,
        failure: failure(database, port),
        current: Some(held(database, 1)),
    };
    let (_, mut second) = state.change(Change::Set(held(database, 3))).unwrap();
    state.answered(failed(1, 2));
    assert!(first.try_recv().unwrap().is_err());
    assert_eq!(routes(&state), [held(database, 3)]);
    state.answered(failed(2, 3));
    assert!(second.try_recv().unwrap().is_err());
    assert_eq!(routes(&state), [held(database, 1)]);
}

#[test]
fn a_call_that_gives_up_keeps_its_wish_but_not_its_reservation() {
    let mut state = State::new(Vec::new());
    let (set, reserved) = (DatabaseId::new(), DatabaseId::new());
    let (first, _) = state.change(Change::Set(held(set, 1))).unwrap();
    let (second, _) = state.change(reserve(reserved, 2)).unwrap();
    assert!(matches!(state.give_up(first), GatewayError::Unreachable(_)));
    assert!(matches!(state.give_up(second), GatewayError::Unreachable(_)));
    assert_eq!(routes(&state), [held(set, 1)]);
}

#[test]
fn a_refusal_ends_every_wait() {
    let mut state = State::new(Vec::new());
    let (_, mut change) = state.change(reserve(DatabaseId::new(), 1)).unwrap();
    let (_, mut load) = state.load().unwrap();
    state.refused("another data directory".into());
    assert!(routes(&state).is_empty(), "the reservation is taken back");
    assert!(matches!(change.try_recv().unwrap(), Err(GatewayError::Refused(_))));
    assert!(matches!(load.try_recv().unwrap(), Err(GatewayError::Refused(_))));
    assert!(matches!(state.load(), Err(GatewayError::Refused(_))));
    state.away("gone".into());
    assert!(state.load().is_ok(), "another gateway may come");
}

#[test]
fn a_route_without_an_encoding_fails_alone() {
    use std::os::unix::ffi::OsStringExt;
    let mut state = State::new(Vec::new());
    let path = std::ffi::OsString::from_vec(vec![0xff]);
    let mut route = held(DatabaseId::new(), 1);
    route.state = RouteState::Open(crate::Backend::Unix(path.into()));
    assert!(matches!(
        state.change(Change::Set(route)),
        Err(GatewayError::Refused(_))
    ));
    assert!(routes(&state).is_empty());
}

#[test]
fn a_reservation_of_another_endpoint_is_refused_without_asking() {
    let database = DatabaseId::new();
    let mut state = State::new(vec![held(database, 1)]);
    assert!(matches!(
        state.change(reserve(database, 2)),
        Err(GatewayError::Bind { .. })
    ));
    assert!(state.change(reserve(database, 1)).is_ok());
    assert_eq!(routes(&state), [held(database, 1)]);
}
