//! Certificates of the cluster.

use pilothouse_api::{certificate_facts, self_signed};
use pilothouse_api_redis_enterprise::BootstrapPolicy;
use pilothouse_control::CertificatePair;
use pilothouse_model::{Secret, Timestamp};
use serde_json::{Value, json};

use crate::harness::{ADMIN, Cluster};

fn pair(name: &str, now: Timestamp) -> (String, String) {
    let made = self_signed(name, &[name.to_owned()], &[], now).unwrap();
    (made.certificate, made.key.expose().to_owned())
}

#[tokio::test]
async fn a_new_cluster_has_certificates_of_its_own_name() {
    let cluster = Cluster::ready().await;
    let shown = cluster.get("/v1/cluster/certificates").await.ok();
    for name in [
        "api",
        "cm",
        "proxy",
        "syncer",
        "metrics_exporter",
        "ccs_internode_encryption",
        "data_internode_encryption",
    ] {
        let facts = certificate_facts(shown[format!("{name}_cert")].as_str().unwrap()).unwrap();
        assert_eq!(facts.common_name, "my.cluster", "{name}");
        assert!(facts.names.contains(&"*.my.cluster".to_owned()), "{name}");
        assert!(
            shown[format!("{name}_key")].as_str().unwrap().contains("PRIVATE KEY"),
            "{name}"
        );
    }
    assert_eq!(
        cluster.get("/v1/cluster").await.ok()["proxy_certificate"],
        shown["proxy_cert"]
    );
}

#[tokio::test]
async fn certificates_are_exchanged_all_or_none() {
    let cluster = Cluster::ready().await;
    let now = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
    let (certificate, key) = pair("new.name", now);
    let (other, _) = pair("other.name", now);
    let (expired, expired_key) = pair("old.name", Timestamp::from_millis(0));
    let proxy = json!({"name": "proxy", "certificate": certificate, "key": key});
    let check = async |with: Value, status: u16, code: &str| {
        let body = json!({"certificates": [proxy, with]});
        assert_eq!(
            cluster.put("/v1/cluster/certificates", &body).await.refused(status),
            code,
            "{with}"
        );
    };
    check(
        json!({"name": "cm", "certificate": other, "key": key}),
        400,
        "invalid_certificate",
    )
    .await;
    check(
        json!({"name": "cm", "certificate": "x", "key": key}),
        400,
        "invalid_certificate",
    )
    .await;
    check(json!({"name": "cm", "certificate": certificate}), 400, "missing_field").await;
    check(
        json!({"name": "nobody", "certificate": certificate, "key": key}),
        403,
        "forbidden",
    )
    .await;
    check(
        json!({"name": "cm", "certificate": expired, "key": expired_key}),
        406,
        "certificate_expired",
    )
    .await;
    let shown = cluster.get("/v1/cluster/certificates").await.ok();
    assert_ne!(shown["proxy_cert"], certificate);
    cluster
        .put("/v1/cluster/certificates", &json!({"certificates": [proxy]}))
        .await
        .ok();
    assert_eq!(
        cluster.get("/v1/cluster/certificates").await.ok()["proxy_cert"],
        certificate
    );
    assert_eq!(
        cluster.put("/v1/cluster/update_cert", &json!({})).await.refused(400),
        "missing_field"
    );
}

#[tokio::test]
async fn internal_certificates_are_rotated_and_required_ones_stay() {
    let cluster = Cluster::ready().await;
    let before = cluster.get("/v1/cluster/certificates").await.ok();
    cluster.post("/v1/cluster/certificates/rotate", &json!({})).await.ok();
    let after = cluster.get("/v1/cluster/certificates").await.ok();
    assert_ne!(
        before["ccs_internode_encryption_cert"],
        after["ccs_internode_encryption_cert"]
    );
    assert_eq!(before["api_cert"], after["api_cert"]);
    assert_eq!(
        cluster
            .post("/v1/cluster/certificates/rotate", &json!({"name": "api"}))
            .await
            .status,
        403
    );
    assert_eq!(
        cluster
            .post("/v1/cluster/certificates/rotate", &json!({"name": "x"}))
            .await
            .status,
        400
    );
    assert_eq!(cluster.delete("/v1/cluster/certificates/api").await.status, 403);
    assert_eq!(cluster.delete("/v1/cluster/certificates/ldap_client").await.status, 404);
    assert_eq!(cluster.delete("/v1/cluster/certificates/x").await.status, 404);
}

#[tokio::test]
async fn a_configured_certificate_outlives_the_bootstrap_and_gives_way_to_a_client_s() {
    let cluster = Cluster::idle(BootstrapPolicy::Loopback).await;
    let now = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
    let (certificate, key) = pair("configured.name", now);
    let configured = || CertificatePair {
        certificate: certificate.clone(),
        key: Some(Secret::new(key.clone())),
    };
    cluster.enterprise.configured_tls_identity(configured()).await.unwrap();
    cluster.bootstrap().await;
    let shown = async || {
        cluster
            .as_user(ADMIN, "GET", "/v1/cluster/certificates", None)
            .await
            .ok()["api_cert"]
            .clone()
    };
    assert_eq!(shown().await, certificate);

    let (chosen, chosen_key) = pair("chosen.name", now);
    let body = json!({"name": "api", "certificate": chosen, "key": chosen_key});
    cluster
        .as_user(ADMIN, "PUT", "/v1/cluster/update_cert", Some(&body))
        .await
        .ok();
    cluster.enterprise.configured_tls_identity(configured()).await.unwrap();
    assert_eq!(shown().await, chosen);

    let (_, wrong_key) = pair("wrong.name", now);
    let broken = CertificatePair {
        certificate: certificate.clone(),
        key: Some(Secret::new(wrong_key)),
    };
    let other = Cluster::idle(BootstrapPolicy::Loopback).await;
    assert!(other.enterprise.configured_tls_identity(broken).await.is_err());
}
