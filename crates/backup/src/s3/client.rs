//! The requests that are needed of S3, one at a time. Signed in the URL, which is therefore never shown.

use std::io::Read;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use rusty_s3::actions::list_objects_v2::ListObjectsContent;
use rusty_s3::actions::{AbortMultipartUpload, CompleteMultipartUpload, ListObjectsV2, UploadPart};
use rusty_s3::{Credentials, Method, S3Action};
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

use super::bucket::S3Bucket;
use super::refusal::{Refusal, element};
use crate::{BackupError, FailureKind, http};

/// How long a request may be on its way; clocks of services differ from ours by as much, too.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// Answers other than objects are read up to here. A thousand keys, the most that is listed at once, have at most as much.
const ANSWER_BYTES: u64 = 4 << 20;

pub(super) struct Client {
    bucket: S3Bucket,
    agent: Agent,
}

impl Client {
    pub(super) fn new(bucket: &S3Bucket) -> Self {
        // A redirect names another region, for which a request would have to be signed anew.
        let agent = http::agent(bucket.host(), 0);
        Self {
            bucket: bucket.clone(),
            agent,
        }
    }

    /// The object as it may be shown.
    pub(super) fn shown(&self, key: &str) -> String {
        self.bucket.shown(key)
    }

    pub(super) fn put(&self, key: &str, content: &[u8]) -> Result<(), BackupError> {
        let action = self.bucket.place().put_object(self.credentials(), key);
        self.send(&About::of("write", key), &signed(&action), Some(content))
            .map(drop)
    }

    pub(super) fn get(&self, key: &str) -> Result<Body, BackupError> {
        let action = self.bucket.place().get_object(self.credentials(), key);
        Ok(self.send(&About::of("read", key), &signed(&action), None)?.into_body())
    }

    /// The first bytes of an object; `None` when there is no such object.
    pub(super) fn beginning(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, BackupError> {
        let about = About::of("read", key);
        let range = format!("bytes=0-{}", most - 1);
        let action = self.bucket.place().get_object(self.credentials(), key);
        let answer = match self.exchange(&about, &signed(&action), None, Some(range))? {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_no_object() => return Ok(None),
            Err(refusal) if refusal.is_no_range() => return Ok(Some(Vec::new())),
            Err(refusal) => return Err(self.refused(&about, &refusal)),
        };
        let mut bytes = Vec::new();
        // A service may send everything all the same.
        let read = answer.into_body().into_reader().take(most).read_to_end(&mut bytes);
        read.map_err(|error| BackupError::connection(self.failed(&about), error.to_string()))?;
        Ok(Some(bytes))
    }

    /// One that is gone is no error.
    pub(super) fn remove(&self, key: &str) -> Result<(), BackupError> {
        let about = About::of("remove", key);
        let action = self.bucket.place().delete_object(self.credentials(), key);
        match self.exchange(&about, &signed(&action), None, None)? {
            Err(refusal) if !refusal.is_no_object() => Err(self.refused(&about, &refusal)),
            _ => Ok(()),
        }
    }

    /// Objects whose keys begin with `prefix` and have no slash after it.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<ListObjectsContent>, BackupError> {
        let about = About::of("list", prefix);
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut action = self.bucket.place().list_objects_v2(self.credentials());
            action.with_prefix(prefix);
            action.with_delimiter("/");
            if let Some(token) = next.take() {
                action.with_continuation_token(token);
            }
            let text = self.text(&about, self.send(&about, &signed(&action), None)?)?;
            let page = ListObjectsV2::parse_response(&text).map_err(|_| self.unintelligible(&about))?;
            objects.extend(page.contents);
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(objects);
            }
        }
    }

    /// Begins an upload in parts and names it.
    pub(super) fn begin_parts(&self, key: &str) -> Result<String, BackupError> {
        let about = About::of("write", key);
        let action = self.bucket.place().create_multipart_upload(self.credentials(), key);
        let text = self.text(&about, self.send(&about, &signed(&action), Some(&[]))?)?;
        // Services differ in what they call the element around it.
        let id = element(&text, "UploadId").map(str::to_owned);
        id.ok_or_else(|| self.unintelligible(&about))
    }

    /// Uploads part `number`, counted from 1, and says what the service calls it.
    pub(super) fn put_part(&self, key: &str, upload: &str, number: u16, content: &[u8]) -> Result<String, BackupError> {
        let about = About::of("write", key);
        let action = UploadPart::new(self.bucket.place(), self.credentials(), key, number, upload);
        let answer = self.send(&about, &signed(&action), Some(content))?;
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
        tag.map(str::to_owned).ok_or_else(|| self.unintelligible(&about))
    }

    /// Makes the parts the object.
    pub(super) fn complete(&self, key: &str, upload: &str, parts: &[String]) -> Result<(), BackupError> {
        let about = About::of("complete", key);
        let action = || {
            let tags = parts.iter().map(String::as_str);
            CompleteMultipartUpload::new(self.bucket.place(), self.credentials(), key, upload, tags)
        };
        let body = action().body();
        let text = self.text(&about, self.send(&about, &signed(&action()), Some(body.as_bytes()))?)?;
        // The status is sent before the work is done, so that a failure can follow it.
        if text.contains("<Error>") {
            return Err(self.refused(&about, &Refusal::read(500, &text)));
        }
        Ok(())
    }

    pub(super) fn abort(&self, key: &str, upload: &str) -> Result<(), BackupError> {
        let action = AbortMultipartUpload::new(self.bucket.place(), self.credentials(), key, upload);
        self.send(&About::of("remove the parts of", key), &signed(&action), None)
            .map(drop)
    }

    /// Uploads of exactly that object that were begun and never ended.
    pub(super) fn unfinished(&self, key: &str) -> Result<Vec<String>, BackupError> {
        let about = About::of("list the uploads of", key);
        let text = self.text(&about, self.send(&about, &self.list_uploads(key), None)?)?;
        let uploads = text.split("<Upload>").skip(1);
        // Only the end of keys is compared: the rest may be written with escapes, and begins like ours in any case.
        let file = |key: &str| key.rsplit('/').next().map(str::to_owned);
        let of_key = uploads.filter(|upload| element(upload, "Key").and_then(file) == file(key));
        Ok(of_key
            .filter_map(|upload| element(upload, "UploadId").map(str::to_owned))
            .collect())
    }

    /// The one request that the library has no type for.
    fn list_uploads(&self, prefix: &str) -> Signed {
        let (place, credentials) = (self.bucket.place(), self.bucket.credentials());
        let url = rusty_s3::signing::sign(
            &jiff::Timestamp::now(),
            Method::Get,
            place.base_url().clone(),
            credentials.key(),
            credentials.secret(),
            None,
            place.region(),
            SIGNED_FOR.as_secs(),
            [("prefix", prefix), ("uploads", "")].into_iter(),
            std::iter::empty(),
        );
        Signed {
            method: Method::Get,
            url: url.into(),
        }
    }

    fn credentials(&self) -> Option<&Credentials> {
        Some(self.bucket.credentials())
    }

    /// Sends a request whose refusal is an error.
    fn send(&self, about: &About<'_>, request: &Signed, content: Option<&[u8]>) -> Result<Response<Body>, BackupError> {
        self.exchange(about, request, content, None)?
            .map_err(|refusal| self.refused(about, &refusal))
    }

    fn exchange(
        &self,
        about: &About<'_>,
        request: &Signed,
        content: Option<&[u8]>,
        range: Option<String>,
    ) -> Result<Result<Response<Body>, Refusal>, BackupError> {
        let mut sent = Request::builder().method(request.method.to_str()).uri(&request.url);
        if let Some(range) = range {
            sent = sent.header("range", range);
        }
        // Has the service refuse what was damaged on its way; it is not part of what was signed.
        if let Some(content) = content.filter(|content| !content.is_empty()) {
            sent = sent.header("content-md5", STANDARD.encode(Md5::digest(content)));
        }
        let unsendable = |_| BackupError::new(FailureKind::WrongPath, self.failed(about));
        let answer = match content {
            Some(content) => self.agent.run(sent.body(content).map_err(unsendable)?),
            None => self.agent.run(sent.body(()).map_err(unsendable)?),
        };
        // The error may quote the URL with its signature, so only its class is taken over.
        let answer = answer.map_err(|error| BackupError::connection(self.failed(about), http::cause(&error)))?;
        if answer.status().is_success() {
            return Ok(Ok(answer));
        }
        let status = answer.status().as_u16();
        // What says why is no reason to fail otherwise.
        let text = self.text(about, answer).unwrap_or_default();
        Ok(Err(Refusal::read(status, &text)))
    }

    fn text(&self, about: &About<'_>, answer: Response<Body>) -> Result<String, BackupError> {
        let body = answer.into_body().into_with_config().limit(ANSWER_BYTES);
        body.read_to_string()
            .map_err(|error| BackupError::connection(self.failed(about), http::cause(&error)))
    }

    fn failed(&self, about: &About<'_>) -> String {
        format!("cannot {} {}", about.verb, self.shown(about.key))
    }

    fn refused(&self, about: &About<'_>, refusal: &Refusal) -> BackupError {
        BackupError::new(refusal.kind(), format!("{}: {refusal}", self.failed(about)))
    }

    fn unintelligible(&self, about: &About<'_>) -> BackupError {
        let what = format!("{}: the service does not speak S3 as it should", self.failed(about));
        BackupError::new(FailureKind::Other, what)
    }
}

/// A request as it goes out, its signature in the URL.
struct Signed {
    method: Method,
    url: String,
}

fn signed<'a, A: S3Action<'a>>(action: &A) -> Signed {
    Signed {
        method: A::METHOD,
        url: action.sign(SIGNED_FOR).into(),
    }
}

/// What is done to what, for errors.
struct About<'a> {
    verb: &'static str,
    key: &'a str,
}

impl<'a> About<'a> {
    fn of(verb: &'static str, key: &'a str) -> Self {
        Self { verb, key }
    }
}
