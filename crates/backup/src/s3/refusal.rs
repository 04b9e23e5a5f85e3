//! What a service says when it does not do what it was asked.

use std::fmt;

use crate::FailureKind;

/// Longer words are not codes.
const CODE_MAX: usize = 64;

/// An answer that is not a success: its status and the service's own word for it.
///
/// Nothing else of the answer is kept: it can hold what was signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    code: String,
}

impl Refusal {
    /// From an answer's status and XML body. An answer without a body has no word.
    pub(super) fn read(status: u16, body: &str) -> Self {
        let code = element(body, "Code").filter(|code| {
            (1..=CODE_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
        });
        Self {
            status,
            code: code.unwrap_or_default().to_owned(),
        }
    }

    /// The object does not exist, and its bucket does.
    pub(super) fn is_no_object(&self) -> bool {
        self.status == 404 && self.code != "NoSuchBucket"
    }

    /// There is nothing in the range that was asked for: the object is empty.
    pub(super) fn is_no_range(&self) -> bool {
        self.status == 416
    }

    pub(super) fn kind(&self) -> FailureKind {
        match (self.status, self.code.as_str()) {
            // Of another region, as most services say it.
            (301 | 307 | 308, _) | (400, "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError") => {
                FailureKind::WrongPath
            }
            (_, "NoSuchBucket" | "NoSuchKey" | "InvalidBucketName" | "KeyTooLongError") | (404, _) => {
                FailureKind::WrongPath
            }
            (507, _) | (_, "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage") => FailureKind::NoSpace,
            (401 | 403, _) => FailureKind::NoPermission,
            (429 | 500..=599, _) => FailureKind::Unreachable,
            _ => FailureKind::Other,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service answered with status {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, ", {}", self.code)?;
        }
        match self.status {
            301 | 307 | 308 => f.write_str("; perhaps the bucket is in another region"),
            _ => Ok(()),
        }
    }
}

/// The text of the first element of that name.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_word_of_the_service_and_nothing_else_of_it() {
        let body = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>hush</Message>\
                    <StringToSign>hush</StringToSign></Error>";
        let refusal = Refusal::read(403, body);
        assert_eq!(refusal.kind(), FailureKind::NoPermission);
        assert_eq!(
            refusal.to_string(),
            "the service answered with status 403, SignatureDoesNotMatch"
        );
        for body in ["", "<html>", "<Code>", "<Code>a b</Code>", "<Code></Code>"] {
            assert_eq!(
                Refusal::read(500, body).to_string(),
                "the service answered with status 500"
            );
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, code, kind) in [
            (404, "NoSuchBucket", FailureKind::WrongPath),
            (404, "", FailureKind::WrongPath),
            (301, "PermanentRedirect", FailureKind::WrongPath),
            (400, "AuthorizationQueryParametersError", FailureKind::WrongPath),
            (403, "InvalidAccessKeyId", FailureKind::NoPermission),
            (401, "", FailureKind::NoPermission),
            (503, "SlowDown", FailureKind::Unreachable),
            (507, "XMinioStorageFull", FailureKind::NoSpace),
            (400, "BadDigest", FailureKind::Other),
        ] {
            let refusal = Refusal::read(status, &format!("<Error><Code>{code}</Code></Error>"));
            assert_eq!(refusal.kind(), kind, "{refusal}");
        }
        assert!(Refusal::read(404, "").is_no_object());
        assert!(!Refusal::read(404, "<Code>NoSuchBucket</Code>").is_no_object());
    }
}
