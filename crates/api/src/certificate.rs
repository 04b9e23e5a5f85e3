//! Certificates: making self-signed ones, and reading what others say.

use std::net::IpAddr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pilothouse_model::{Secret, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// How long a certificate made here is valid. Long, because a certificate that runs out takes every client down at once.
const VALIDITY_YEARS: i16 = 10;

/// Why a certificate cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CertificateError(String);

/// A certificate with its key, PEM.
#[derive(Clone, Debug)]
pub struct GeneratedCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: Secret,
}

/// Makes a self-signed certificate, ECDSA P-256, for servers and clients. `names` and `addresses` become subject alternative names.
/// It is no certificate authority, so that clients can pin it as their only trusted one and still verify it as a server's.
pub fn self_signed(
    common_name: &str,
    names: &[String],
    addresses: &[IpAddr],
    now: Timestamp,
) -> Result<GeneratedCertificate, CertificateError> {
    let error = |error: rcgen::Error| CertificateError(error.to_string());
    let key = KeyPair::generate().map_err(error)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    for name in names {
        params
            .subject_alt_names
            .push(SanType::DnsName(name.as_str().try_into().map_err(error)?));
    }
    params
        .subject_alt_names
        .extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    // From yesterday: a client whose clock is behind must not refuse a certificate made a moment ago.
    let from = civil(now.minus(std::time::Duration::from_secs(24 * 3600)));
    params.not_before = rcgen::date_time_ymd(from.year().into(), month(from), day(from));
    params.not_after = rcgen::date_time_ymd((from.year() + VALIDITY_YEARS).into(), month(from), day(from));
    let certificate = params.self_signed(&key).map_err(error)?;
    Ok(GeneratedCertificate {
        certificate: certificate.pem(),
        key: Secret::new(key.serialize_pem()),
    })
}

fn civil(time: Timestamp) -> DateTime {
    jiff::Timestamp::from_second(time.as_secs())
        .unwrap_or_default()
        .to_zoned(TimeZone::UTC)
        .datetime()
}

fn month(date: DateTime) -> u8 {
    date.month().unsigned_abs()
}

/// At most 28, a day that every month of every year has.
fn day(date: DateTime) -> u8 {
    date.day().unsigned_abs().min(28)
}

/// What the first certificate of a PEM text says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Common name of the subject; empty when it has none.
    pub common_name: String,
    /// Alternative names of the subject, DNS names only.
    pub names: Vec<String>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// It, or a further one of the text, is signed over a hash that can be forged.
    pub weakly_signed: bool,
}

/// Signatures over MD2, MD4, MD5 and SHA-1, with RSA, DSA and ECDSA.
const WEAK_SIGNATURES: [&str; 7] = [
    "1.2.840.113549.1.1.2",
    "1.2.840.113549.1.1.3",
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.3.14.3.2.29",
    "1.2.840.10040.4.3",
    "1.2.840.10045.4.1",
];

/// Reads the first certificate of a PEM text, and checks that every further one is well-formed.
pub fn certificate_facts(pem: &str) -> Result<CertificateFacts, CertificateError> {
    let mut facts: Option<CertificateFacts> = None;
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der = der.map_err(|error| CertificateError(format!("not a PEM certificate: {error}")))?;
        let (_, parsed) = X509Certificate::from_der(&der)
            .map_err(|error| CertificateError(format!("not an X.509 certificate: {error}")))?;
        let weak = WEAK_SIGNATURES.contains(&parsed.signature_algorithm.algorithm.to_id_string().as_str());
        facts.get_or_insert_with(|| facts_of(&parsed)).weakly_signed |= weak;
    }
    facts.ok_or_else(|| CertificateError("there is no certificate in the PEM text".to_owned()))
}

fn facts_of(certificate: &X509Certificate<'_>) -> CertificateFacts {
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives
        .into_iter()
        .flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let time = |at: x509_parser::time::ASN1Time| Timestamp::from_millis(at.timestamp().saturating_mul(1000));
    CertificateFacts {
        common_name: common_name.unwrap_or_default().to_owned(),
        names: names.collect(),
        not_before: time(certificate.validity().not_before),
        not_after: time(certificate.validity().not_after),
        weakly_signed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TlsIdentity;

    #[test]
    fn a_generated_certificate_says_what_was_asked_and_fits_its_key() {
        let now = Timestamp::from_millis(1_760_400_087_000);
        let names = ["my.cluster".to_owned(), "*.my.cluster".to_owned()];
        let made = self_signed("my.cluster", &names, &["127.0.0.1".parse().unwrap()], now).unwrap();
        let facts = certificate_facts(&made.certificate).unwrap();
        assert_eq!(
            (facts.common_name.as_str(), facts.names.as_slice()),
            ("my.cluster", &names[..])
        );
        assert!(facts.not_before < now && facts.not_after > now.plus(std::time::Duration::from_secs(9 * 365 * 86_400)));
        TlsIdentity::check(&made.certificate, &made.key).unwrap();
        assert!(!facts.weakly_signed);

        let other = self_signed("other", &[], &[], now).unwrap();
        assert!(TlsIdentity::check(&made.certificate, &other.key).is_err());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for bad in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(certificate_facts(bad).is_err(), "{bad:?}");
        }
    }
}
