//! A service with one bucket, in memory, that fails when it is told to. It takes every signature for granted: services that look at them
//! are met in `conformance/`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

pub(crate) const BUCKET: &str = "backups";

/// What comes in place of the answer.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// That status and code; nothing is done.
    Refuse(u16, &'static str),
    /// The connection ends before anything is done.
    HangUp,
    /// The connection ends after it was done.
    SwallowAnswer,
}

/// Says what goes wrong with a request, given as `PUT key partNumber`.
type Faults = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Key and parts of uploads that are not finished.
    pub(crate) uploads: BTreeMap<String, (String, BTreeMap<u16, Vec<u8>>)>,
    begun: usize,
}

pub(crate) struct S3Server {
    pub(crate) address: SocketAddr,
    stored: Arc<Mutex<Stored>>,
    faults: Arc<Mutex<Option<Faults>>>,
}

impl S3Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stored, faults) = (Arc::default(), Arc::default());
        let server = Self {
            address,
            stored,
            faults,
        };
        let (stored, faults) = (Arc::clone(&server.stored), Arc::clone(&server.faults));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &stored, &faults);
            }
        });
        server
    }

    pub(crate) fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().expect("no panic")
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.stored().objects.keys().cloned().collect()
    }

    pub(crate) fn fail(&self, faults: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        *self.faults.lock().expect("no panic") = Some(Box::new(faults));
    }

    pub(crate) fn recover(&self) {
        *self.faults.lock().expect("no panic") = None;
    }
}

struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    range_end: Option<usize>,
    body: Vec<u8>,
}

fn read(conn: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if conn.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let header = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    };
    let length = header("content-length").map_or(0, |length| length.parse().expect("a number"));
    let mut body = vec![0; length];
    conn.read_exact(&mut body)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().expect("a method"), words.next().expect("a target"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), decoded(value))
    });
    Ok(Request {
        method: method.to_owned(),
        key: decoded(path.strip_prefix(&format!("/{BUCKET}/")).expect("our bucket")),
        query: pairs.collect(),
        range_end: header("range").map(|range| range.rsplit('-').next().expect("an end").parse().expect("a number")),
        body,
    })
}

fn serve(stream: TcpStream, stored: &Mutex<Stored>, faults: &Mutex<Option<Faults>>) -> io::Result<()> {
    let mut conn = BufReader::new(stream);
    let request = read(&mut conn)?;
    let part = request.query.get("partNumber").map_or("", String::as_str);
    let named = format!("{} {} {part}", request.method, request.key);
    let fault = faults
        .lock()
        .expect("no panic")
        .as_mut()
        .and_then(|faults| faults(&named));
    let (status, body) = match fault {
        Some(Fault::HangUp) => return Ok(()),
        Some(Fault::Refuse(status, code)) => (status, error(code)),
        Some(Fault::SwallowAnswer) => {
            act(&request, &mut stored.lock().expect("no panic"));
            return Ok(());
        }
        None => act(&request, &mut stored.lock().expect("no panic")),
    };
    let length = body.len();
    let stream = conn.get_mut();
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\netag: \"{part}\"\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

fn act(request: &Request, stored: &mut Stored) -> (u16, Vec<u8>) {
    let key = request.key.clone();
    let upload = request.query.get("uploadId");
    match (request.method.as_str(), upload) {
        ("PUT", None) => {
            stored.objects.insert(key, request.body.clone());
            (200, Vec::new())
        }
        ("PUT", Some(upload)) => {
            let number = request.query["partNumber"].parse().expect("a number");
            let Some((_, parts)) = stored.uploads.get_mut(upload) else {
                return (404, error("NoSuchUpload"));
            };
            parts.insert(number, request.body.clone());
            (200, Vec::new())
        }
        ("POST", None) => {
            stored.begun += 1;
            let id = format!("upload-{}", stored.begun);
            let body = answer("InitiateMultipartUploadResult", &format!("<UploadId>{id}</UploadId>"));
            stored.uploads.insert(id, (key, BTreeMap::new()));
            (200, body)
        }
        ("POST", Some(upload)) => {
            let Some((key, parts)) = stored.uploads.remove(upload) else {
                return (404, error("NoSuchUpload"));
            };
            let listed = String::from_utf8_lossy(&request.body).matches("<PartNumber>").count();
            assert_eq!(listed, parts.len());
            stored.objects.insert(key, parts.into_values().flatten().collect());
            (200, answer("CompleteMultipartUploadResult", "<ETag>\"x\"</ETag>"))
        }
        ("DELETE", None) => {
            stored.objects.remove(&key);
            (204, Vec::new())
        }
        ("DELETE", Some(upload)) => {
            stored.uploads.remove(upload);
            (204, Vec::new())
        }
        ("GET", _) if request.query.contains_key("uploads") => (200, list_uploads(stored, &request.query["prefix"])),
        ("GET", _) if key.is_empty() => (200, list(stored, &request.query)),
        ("GET", _) => match stored.objects.get(&key) {
            None => (404, error("NoSuchKey")),
            Some(content) => {
                let most = request.range_end.map_or(usize::MAX, |end| end + 1);
                (200, content[..content.len().min(most)].to_vec())
            }
        },
        (method, _) => panic!("{method}"),
    }
}

/// Two keys at a time, so that a listing has several pages.
fn list(stored: &Stored, query: &BTreeMap<String, String>) -> Vec<u8> {
    let (prefix, after) = (
        &query["prefix"],
        query.get("continuation-token").map_or("", String::as_str),
    );
    let mut found = stored.objects.iter().filter(|(key, _)| {
        let rest = key.strip_prefix(prefix.as_str());
        rest.is_some_and(|rest| !rest.contains('/')) && key.as_str() > after
    });
    let page: Vec<_> = found.by_ref().take(2).collect();
    let mut body = String::new();
    for (key, content) in &page {
        body += &format!("<Contents><Key>{key}</Key><Size>{}</Size></Contents>", content.len());
    }
    let more = found.next().is_some();
    body += &format!("<IsTruncated>{more}</IsTruncated>");
    if let (true, Some((last, _))) = (more, page.last()) {
        body += &format!("<NextContinuationToken>{last}</NextContinuationToken>");
    }
    answer("ListBucketResult", &body)
}

fn list_uploads(stored: &Stored, prefix: &str) -> Vec<u8> {
    let of_prefix = stored.uploads.iter().filter(|(_, (key, _))| key.starts_with(prefix));
    let body: String = of_prefix
        .map(|(id, (key, _))| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>"))
        .collect();
    answer("ListMultipartUploadsResult", &body)
}

fn answer(name: &str, body: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\"?><{name} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{body}</{name}>")
        .into_bytes()
}

fn error(code: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>hush</Message></Error>").into_bytes()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [a, b, tail @ ..]) = (first, tail) {
            let digits = [*a, *b];
            let digits = std::str::from_utf8(&digits).expect("ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
