//! Certificates of the cluster.

use serde::Deserialize;

/// Body of `PUT /v1/cluster/update_cert`, and an element of the list form. Everything is checked by hand: the SDK sends `{}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CertificateUpdate {
    pub(crate) name: Option<String>,
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
}

/// Body of `PUT /v1/cluster/certificates`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CertificateUpdates {
    pub(crate) certificates: Vec<CertificateUpdate>,
}

/// Body of `POST /v1/cluster/certificates/rotate`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RotateRequest {
    pub(crate) name: Option<String>,
}
