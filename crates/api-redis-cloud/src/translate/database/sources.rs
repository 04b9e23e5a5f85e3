//! Who may connect, and which certificates are trusted.

use pilothouse_model::Cidr;

use super::Around;
use crate::documents::SubscriptionDocument;
use crate::error::TaskError;
use crate::wire::database::DatabaseRequest;

/// Ranges that count as private (§10.3).
pub(crate) const PRIVATE_RANGES: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];
const EVERYBODY: &str = "0.0.0.0/0";

/// Who may connect as far as the database itself says; empty for everybody. What its subscription says counts besides (§16), and a list
/// that lets nobody in together with that is refused.
pub(super) fn sources(asked: &[String], around: &Around<'_>) -> Result<Vec<Cidr>, TaskError> {
    let own = ranges(asked)?;
    if Cidr::both(&own, &around.allowed) == [Cidr::NOBODY] {
        return Err(TaskError::new(
            "DATABASE_INVALID_SIP",
            "no address is in both the list of the database and that of its subscription",
        ));
    }
    Ok(own)
}

/// The ranges that are written there; empty when they are everybody.
pub(crate) fn ranges(texts: &[String]) -> Result<Vec<Cidr>, TaskError> {
    let ranges: Result<Vec<Cidr>, _> = texts.iter().map(|text| text.parse()).collect();
    let ranges = ranges.map_err(|error| TaskError::new("DATABASE_INVALID_SIP", format!("{error}")))?;
    if texts.iter().any(|text| text == EVERYBODY) {
        return Ok(Vec::new());
    }
    Ok(ranges)
}

/// Whom a subscription lets in: its list, and without one the private ranges where it has no public access.
pub(crate) fn allowed(document: &SubscriptionDocument) -> Result<Vec<Cidr>, TaskError> {
    if document.cidr.is_empty() && !document.public_endpoint_access {
        return ranges(&PRIVATE_RANGES.map(str::to_owned));
    }
    ranges(&document.cidr)
}

/// The trusted certificates of a request; `None` when it does not speak of them.
pub(super) fn trusted(request: &DatabaseRequest) -> Option<Vec<String>> {
    let many = request.client_tls_certificates.as_ref();
    let one = request.client_ssl_certificate.as_ref();
    if many.is_none() && one.is_none() {
        return None;
    }
    let pems = many
        .into_iter()
        .flatten()
        .map(|certificate| certificate.pem().to_owned());
    Some(pems.chain(one.cloned()).filter(|pem| !pem.trim().is_empty()).collect())
}
