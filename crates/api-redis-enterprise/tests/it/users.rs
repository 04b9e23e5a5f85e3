//! Users, their passwords and tokens.

use serde_json::json;

use crate::harness::{ADMIN, CONFIGURED, Cluster};

#[tokio::test]
async fn users_are_made_changed_and_deleted() {
    let cluster = Cluster::ready().await;
    let made = cluster
        .post("/v1/users", &json!({"email": "Anna@b.c", "name": "Anna", "password": "secret", "role": "db_member", "email_alerts": true}))
        .await
        .ok();
    assert_eq!(made["uid"], 2);
    assert_eq!(
        (&made["role"], &made["role_uids"], &made["email_alerts"]),
        (&json!("db_member"), &json!([4]), &json!(true))
    );
    assert!(made.get("password").is_none());
    assert_eq!(cluster.get("/v1/users/2").await.ok(), made);
    // At once, by e-mail in any case, and by name.
    for login in ["anna@B.C", "Anna"] {
        assert_eq!(
            cluster.as_user((login, "secret"), "GET", "/v1/bdbs", None).await.status,
            200,
            "{login}"
        );
    }
    let changed = cluster
        .put("/v1/users/2", &json!({"role_uids": [5], "email_alerts": false}))
        .await
        .ok();
    assert_eq!(
        (&changed["role"], &changed["email_alerts"]),
        (&json!("db_viewer"), &json!(false))
    );
    cluster.delete("/v1/users/2").await.ok();
    assert_eq!(cluster.get("/v1/users/2").await.refused(404), "user_not_exist");
    assert_eq!(
        cluster
            .as_user(("Anna", "secret"), "GET", "/v1/bdbs", None)
            .await
            .status,
        401
    );
    assert_eq!(
        cluster
            .post("/v1/users", &json!({"name": "next", "password": "x"}))
            .await
            .ok()["uid"],
        3
    );
}

#[tokio::test]
async fn a_user_by_name_only_has_an_empty_email() {
    let cluster = Cluster::ready().await;
    let made = cluster
        .post("/v1/users", &json!({"name": "v_token_x", "password": "p", "role_uids": [4], "email_alerts": false, "auth_method": "regular"}))
        .await
        .ok();
    assert_eq!((&made["email"], &made["name"]), (&json!(""), &json!("v_token_x")));
    assert_eq!(
        cluster
            .as_user(("v_token_x", "p"), "GET", "/v1/bdbs", None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn what_cannot_be_a_user_is_refused() {
    let cluster = Cluster::ready().await;
    let check = async |body, status: u16, code: &str| {
        assert_eq!(cluster.post("/v1/users", &body).await.refused(status), code, "{body}");
    };
    check(json!({}), 400, "missing_field").await;
    check(json!({"email": "a@b"}), 400, "missing_field").await;
    check(json!({"email": 1, "password": "x"}), 400, "invalid_schema").await;
    check(json!({"email": "a@b", "password": ""}), 400, "password_not_complex").await;
    check(json!({"email": "a<b", "password": "x"}), 400, "invalid_schema").await;
    check(
        json!({"email": "a@b", "password": "x", "role": "king"}),
        400,
        "invalid_schema",
    )
    .await;
    check(
        json!({"email": "a@b", "password": "x", "role_uids": [99]}),
        400,
        "invalid_role_uids_param",
    )
    .await;
    check(
        json!({"email": "ADMIN@redis.local", "password": "x"}),
        409,
        "email_already_exists",
    )
    .await;
    check(
        json!({"email": "a@b", "name": "Administrator", "password": "x"}),
        409,
        "name_already_exists",
    )
    .await;
    check(
        json!({"email": "a@b", "password": "x", "auth_method": "external"}),
        406,
        "unsupported_auth_method",
    )
    .await;
    assert_eq!(
        cluster
            .post("/v1/users?dry_run", &json!({"email": "a@b", "password": "x"}))
            .await
            .ok()["role"],
        "db_viewer"
    );
    assert_eq!(cluster.get("/v1/users").await.ok().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let cluster = Cluster::ready().await;
    assert_eq!(
        cluster
            .put("/v1/users/1", &json!({"role_uids": [5]}))
            .await
            .refused(406),
        "change_last_admin_role_not_allowed"
    );
    for caller in [ADMIN, CONFIGURED] {
        assert_eq!(cluster.as_user(caller, "DELETE", "/v1/users/1", None).await.status, 406);
    }
    cluster
        .post("/v1/users", &json!({"email": "b@b", "password": "x", "role": "admin"}))
        .await
        .ok();
    assert_eq!(
        cluster
            .as_user(("b@b", "x"), "DELETE", "/v1/users/2", None)
            .await
            .status,
        406
    );
    assert_eq!(
        cluster.put("/v1/users/1", &json!({"role": "db_viewer"})).await.ok()["role"],
        "db_viewer"
    );
}

#[tokio::test]
async fn users_change_their_own_name_and_password_and_nothing_else() {
    let cluster = Cluster::ready().await;
    cluster
        .post(
            "/v1/users",
            &json!({"email": "v@b", "name": "V", "password": "x", "role": "db_viewer"}),
        )
        .await
        .ok();
    let as_v = async |body| cluster.as_user(("v@b", "x"), "PUT", "/v1/users/2", Some(&body)).await;
    assert_eq!(as_v(json!({"name": "W"})).await.ok()["name"], "W");
    assert_eq!(as_v(json!({"role": "admin"})).await.refused(403), "forbidden");
    assert_eq!(as_v(json!({"email": "w@b"})).await.refused(403), "forbidden");
    let other = cluster
        .as_user(("v@b", "x"), "PUT", "/v1/users/1", Some(&json!({"email_alerts": true})))
        .await;
    assert_eq!(other.refused(403), "forbidden");
    assert_eq!(
        cluster.put("/v1/users/2", &json!({"name": "X"})).await.refused(400),
        "unauthorized_action"
    );
    assert_eq!(as_v(json!({"password": "y"})).await.status, 200);
    assert_eq!(cluster.as_user(("v@b", "x"), "GET", "/v1/bdbs", None).await.status, 401);
    assert_eq!(cluster.as_user(("v@b", "y"), "GET", "/v1/bdbs", None).await.status, 200);
}

#[tokio::test]
async fn several_passwords_are_valid_at_once() {
    let cluster = Cluster::ready().await;
    cluster
        .post("/v1/users", &json!({"email": "v@b", "password": "one"}))
        .await
        .ok();
    let valid = async |password| cluster.as_user(("v@b", password), "GET", "/v1/bdbs", None).await.status == 200;
    let call = async |method, body| cluster.call(method, "/v1/users/password", Some(&body)).await;
    call("POST", json!({"username": "v@b", "new_password": "two"}))
        .await
        .ok();
    assert!(valid("one").await && valid("two").await);
    assert_eq!(
        call("POST", json!({"username": "v@b", "new_password": "two"}))
            .await
            .refused(400),
        "new_password_same_as_current"
    );
    call("DELETE", json!({"username": "v@b", "old_password": "one"}))
        .await
        .ok();
    assert!(!valid("one").await && valid("two").await);
    assert_eq!(
        call("DELETE", json!({"username": "v@b", "old_password": "two"}))
            .await
            .refused(400),
        "cannot_delete_last_password"
    );
    assert_eq!(call("DELETE", json!({})).await.refused(400), "missing_field");
    call("PUT", json!({"username": "v@b", "new_password": "three"}))
        .await
        .ok();
    assert!(!valid("two").await && valid("three").await);
    // One command-line client means a replacement with this.
    call("POST", json!({"email": "v@b", "password": "four"})).await.ok();
    assert!(!valid("three").await && valid("four").await);
    assert_eq!(
        call("PUT", json!({"username": "nobody", "new_password": "x"}))
            .await
            .refused(404),
        "user_not_exist"
    );
    let other = cluster
        .as_user(
            ("v@b", "four"),
            "PUT",
            "/v1/users/password",
            Some(&json!({"username": ADMIN.0, "new_password": "x"})),
        )
        .await;
    assert_eq!(other.refused(403), "unauthorized_action");
    let own = json!({"old_password": "wrong", "new_password": "five"});
    assert_eq!(
        cluster
            .as_user(("v@b", "four"), "PUT", "/v1/users/password", Some(&own))
            .await
            .status,
        401
    );
    let own = json!({"old_password": "four", "new_password": "five"});
    cluster
        .as_user(("v@b", "four"), "PUT", "/v1/users/password", Some(&own))
        .await
        .ok();
    assert!(valid("five").await);
}

#[tokio::test]
async fn passwords_must_be_complex_where_the_cluster_says_so() {
    let cluster = Cluster::ready().await;
    cluster
        .put("/v1/cluster", &json!({"password_complexity": true}))
        .await
        .ok();
    let user = |password| json!({"email": "v@b", "name": "Vera", "password": password});
    assert_eq!(
        cluster.post("/v1/users", &user("short")).await.refused(400),
        "password_not_complex"
    );
    assert_eq!(
        cluster.post("/v1/users", &user("xVera-1234")).await.refused(400),
        "password_not_complex"
    );
    cluster.post("/v1/users", &user("Good-Pass1")).await.ok();
}

#[tokio::test]
async fn too_many_failures_lock_a_user() {
    let cluster = Cluster::ready().await;
    cluster
        .put("/v1/cluster/policy", &json!({"login_lockout_threshold": 2}))
        .await
        .ok();
    cluster
        .post("/v1/users", &json!({"email": "v@b", "password": "right"}))
        .await
        .ok();
    for _ in 0..2 {
        assert_eq!(
            cluster.as_user(("v@b", "wrong"), "GET", "/v1/bdbs", None).await.status,
            401
        );
    }
    assert_eq!(
        cluster.as_user(("v@b", "right"), "GET", "/v1/bdbs", None).await.status,
        401
    );
    assert_eq!(cluster.get("/v1/users/2").await.ok()["status"], "locked");
}

#[tokio::test]
async fn a_login_can_be_exchanged_for_a_token() {
    let cluster = Cluster::ready().await;
    let answer = cluster.post("/v1/users/authorize", &json!({"ttl": 60})).await.ok();
    let token = answer["access_token"].as_str().unwrap().to_owned();
    assert_eq!(answer["jwt"], answer["access_token"]);
    for scheme in ["Bearer", "JWT"] {
        let header = format!("Authorization: {scheme} {token}\r\n");
        assert_eq!(cluster.raw("GET", "/v1/cluster", &header, b"").await.status, 200);
        assert_eq!(
            cluster.raw("POST", "/v1/users/refresh_jwt", &header, b"").await.status,
            200
        );
    }
    let forged = format!("Authorization: Bearer {}x\r\n", token);
    assert_eq!(cluster.raw("GET", "/v1/cluster", &forged, b"").await.status, 401);
    assert_eq!(
        cluster
            .raw("GET", "/v1/cluster", "Authorization: Bearer x\r\n", b"")
            .await
            .status,
        401
    );
    assert_eq!(
        cluster.post("/v1/users/authorize", &json!({"ttl": 0})).await.status,
        400
    );
    assert_eq!(cluster.anonymous("POST", "/v1/users/authorize").await.status, 401);
    let older = json!({"username": ADMIN.0, "password": ADMIN.1});
    let answer = cluster
        .raw("POST", "/v1/users/authorize", "", older.to_string().as_bytes())
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_deleted_user_s_token_ends() {
    let cluster = Cluster::ready().await;
    cluster
        .post("/v1/users", &json!({"email": "v@b", "password": "x"}))
        .await
        .ok();
    let answer = cluster
        .as_user(("v@b", "x"), "POST", "/v1/users/authorize", None)
        .await
        .ok();
    let header = format!("Authorization: Bearer {}\r\n", answer["access_token"].as_str().unwrap());
    assert_eq!(cluster.raw("GET", "/v1/bdbs", &header, b"").await.status, 200);
    cluster.delete("/v1/users/2").await.ok();
    assert_eq!(cluster.raw("GET", "/v1/bdbs", &header, b"").await.status, 401);
}
