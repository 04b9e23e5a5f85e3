//! Who may connect, and which certificates are trusted.

use std::net::IpAddr;

use pilothouse_model::Cidr;

use super::Around;
use crate::error::TaskError;
use crate::wire::database::DatabaseRequest;

/// Ranges that count as private (§10.3).
pub(crate) const PRIVATE_RANGES: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/// Who may connect: what the database names, within what its subscription allows. Empty for everybody.
pub(super) fn sources(asked: &[String], around: &Around<'_>) -> Result<Vec<Cidr>, TaskError> {
    let parse = |text: &str| {
        text.parse::<Cidr>()
            .map_err(|error| TaskError::new("DATABASE_INVALID_SIP", error.to_string()))
    };
    let own: Vec<Cidr> = asked.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
    let mut outer: Vec<Cidr> = around.cidr.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
    if !around.public_access && outer.is_empty() {
        outer = PRIVATE_RANGES
            .iter()
            .map(|text| parse(text))
            .collect::<Result<_, _>>()?;
    }
    let open = |list: &[Cidr]| list.is_empty() || list.iter().any(|range| range.to_string() == "0.0.0.0/0");
    match (open(&own), open(&outer)) {
        (true, true) => Ok(Vec::new()),
        (true, false) => Ok(outer),
        (false, true) => Ok(own),
        // Both lists must pass (§16): of two ranges that meet, one lies within the other.
        (false, false) => {
            let mut both: Vec<Cidr> = Vec::new();
            for (range, list) in own
                .iter()
                .map(|range| (range, &outer))
                .chain(outer.iter().map(|range| (range, &own)))
            {
                if list.iter().any(|other| within(*range, *other)) && !both.contains(range) {
                    both.push(*range);
                }
            }
            if both.is_empty() {
                return Err(TaskError::new(
                    "DATABASE_INVALID_SIP",
                    "no address is in both the list of the database and that of its subscription",
                ));
            }
            Ok(both)
        }
    }
}

fn within(inner: Cidr, outer: Cidr) -> bool {
    let parts = |range: Cidr| {
        let text = range.to_string();
        let (address, prefix) = text.split_once('/').unwrap_or((&text, "128"));
        (address.parse::<IpAddr>().ok(), prefix.parse::<u8>().unwrap_or(128))
    };
    let ((address, inner_prefix), (_, outer_prefix)) = (parts(inner), parts(outer));
    inner_prefix >= outer_prefix && address.is_some_and(|address| outer.contains(address))
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
