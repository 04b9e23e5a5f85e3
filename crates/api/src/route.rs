//! Route tables: an API as data. The table of a dialect answers what is registered, with which methods, and who handles it.

use std::collections::HashMap;

use hyper::Method;
use hyper::header::HeaderValue;

use crate::path::{MalformedPath, Params, segments};

/// How much a route matters to the clients that a dialect promises to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Used by every client; has its real effect.
    P0,
    /// Used by current clients.
    P1,
    /// The rest of the published surface.
    P2,
}

/// One row of a route table. `H` is the dialect's kind of handler, `A` its kind of permission.
#[derive(Debug)]
pub struct Route<H, A> {
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces: `/v1/bdbs/{uid}`.
    pub path: &'static str,
    /// Who may call it.
    pub access: A,
    /// Its priority in the wire specification.
    pub priority: Priority,
    /// The function that answers, as named in the source.
    pub operation: &'static str,
    /// The function that answers.
    pub handler: H,
}

/// What a table has for a request.
#[derive(Debug)]
pub enum Match<'t, H, A> {
    /// This row.
    Found(&'t Route<H, A>, Params),
    /// The path is registered with other methods only: the path of its first row, and the methods for the `Allow` header.
    OtherMethods(&'static str, &'t HeaderValue),
    /// `OPTIONS` on a registered path: the path of its first row, and the methods for the `Allow` header.
    Options(&'static str, &'t HeaderValue),
    /// The path is not registered.
    Unknown,
}

/// A table made ready for look-ups: fixed segments win over parameters, whatever their order in the table.
#[derive(Debug)]
pub struct RouteTable<H: 'static, A: 'static> {
    root: Node<H, A>,
}

#[derive(Debug)]
struct Node<H: 'static, A: 'static> {
    fixed: HashMap<&'static str, Node<H, A>>,
    parameter: Option<Box<Node<H, A>>>,
    routes: Vec<&'static Route<H, A>>,
    allow: HeaderValue,
}

impl<H, A> Node<H, A> {
    fn new() -> Self {
        Self {
            fixed: HashMap::new(),
            parameter: None,
            routes: Vec::new(),
            allow: HeaderValue::from_static(""),
        }
    }
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

impl<H, A> RouteTable<H, A> {
    /// Reads a table.
    ///
    /// # Panics
    /// When two rows have the same method and path: a mistake in the source, seen by the first test that makes the table.
    pub fn new(routes: &'static [Route<H, A>]) -> Self {
        let mut root = Node::new();
        for route in routes {
            let mut node = &mut root;
            for segment in route.path.trim_matches('/').split('/') {
                node = if is_parameter(segment) {
                    node.parameter.get_or_insert_with(|| Box::new(Node::new()))
                } else {
                    node.fixed.entry(segment).or_insert_with(Node::new)
                };
            }
            assert!(
                node.routes.iter().all(|other| other.method != route.method),
                "{} {} stands twice in the table",
                route.method,
                route.path
            );
            node.routes.push(route);
            node.allow = allow(&node.routes);
        }
        Self { root }
    }

    /// The row for a request. `HEAD` finds the row of `GET`.
    pub fn find(&self, method: &Method, path: &str) -> Result<Match<'_, H, A>, MalformedPath> {
        let segments = segments(path)?;
        let Some(node) = find(&self.root, &segments) else {
            return Ok(Match::Unknown);
        };
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        let path = node.routes.first().map_or("", |route| route.path);
        Ok(match node.routes.iter().find(|route| route.method == wanted) {
            Some(route) => Match::Found(route, params(route.path, &segments)),
            None if method == Method::OPTIONS => Match::Options(path, &node.allow),
            None => Match::OtherMethods(path, &node.allow),
        })
    }
}

/// The deepest registered node for the segments; a fixed segment is tried before a parameter, and given up when nothing lies below it.
fn find<'t, H, A>(node: &'t Node<H, A>, segments: &[String]) -> Option<&'t Node<H, A>> {
    let Some((first, rest)) = segments.split_first() else {
        return (!node.routes.is_empty()).then_some(node);
    };
    let fixed = node.fixed.get(first.as_str()).and_then(|child| find(child, rest));
    fixed.or_else(|| {
        let child = node.parameter.as_deref().filter(|_| !first.is_empty())?;
        find(child, rest)
    })
}

fn params(path: &'static str, segments: &[String]) -> Params {
    let names = path.trim_matches('/').split('/');
    let named = names.zip(segments).filter(|(name, _)| is_parameter(name));
    Params::new(
        named
            .map(|(name, value)| (name.trim_matches(['{', '}']), value.clone()))
            .collect(),
    )
}

fn allow<H, A>(routes: &[&Route<H, A>]) -> HeaderValue {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    methods.sort_unstable();
    HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// Declares a dialect's table of routes and its kind of handler: `ROUTES`, whose rows are method, path, priority, permission and the
/// function that answers, and `Handler`, which wraps such a function.
///
/// The head names the folder of the handlers, what they take, what they answer, and the kind of permission. Methods, priorities and
/// permissions are written as in their types; functions by their path within the folder.
#[macro_export]
macro_rules! routes {
    (
        $handlers:ident($app:ty, $call:ty) -> $answer:ty, permission $permission:ident;
        $($method:ident $path:literal $priority:ident $access:ident $handler:path;)+
    ) => {
        /// A function that answers.
        #[derive(Clone, Copy)]
        pub struct Handler(pub(crate) fn($app, $call) -> Answering);

        /// An answer on its way.
        pub(crate) type Answering = ::std::pin::Pin<::std::boxed::Box<dyn ::std::future::Future<Output = $answer> + Send>>;

        impl ::std::fmt::Debug for Handler {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str("Handler(…)")
            }
        }

        /// The table.
        pub static ROUTES: &[$crate::Route<Handler, $permission>] = &[$($crate::Route {
            method: $crate::Method::$method,
            path: $path,
            access: $permission::$access,
            priority: $crate::Priority::$priority,
            operation: ::std::stringify!($handler),
            handler: Handler(|app, call| {
                use $handlers::*;
                ::std::boxed::Box::pin($handler(app, call))
            }),
        }),+];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn row(method: Method, path: &'static str) -> Route<(), ()> {
        Route {
            method,
            path,
            access: (),
            priority: Priority::P0,
            operation: "",
            handler: (),
        }
    }

    static ROUTES: [Route<(), ()>; 6] = [
        row(Method::GET, "/v1/bdbs"),
        row(Method::POST, "/v1/bdbs"),
        row(Method::GET, "/v1/bdbs/{uid}"),
        row(Method::DELETE, "/v1/bdbs/{bdb_uid}"),
        row(Method::GET, "/v1/bdbs/alerts"),
        row(Method::GET, "/v1/bdbs/{uid}/shards"),
    ];

    fn check(method: Method, path: &str) -> String {
        match RouteTable::new(&ROUTES).find(&method, path) {
            Ok(Match::Found(route, params)) => format!("{} {} {params:?}", route.method, route.path),
            Ok(Match::OtherMethods(_, allow)) => format!("405 {}", allow.to_str().unwrap()),
            Ok(Match::Options(_, allow)) => format!("200 {}", allow.to_str().unwrap()),
            Ok(Match::Unknown) => "404".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn fixed_segments_win_and_parameters_keep_the_names_of_their_row() {
        assert_eq!(check(Method::GET, "/v1/bdbs"), "GET /v1/bdbs Params([])");
        assert_eq!(check(Method::GET, "/v1/bdbs/"), "GET /v1/bdbs Params([])");
        assert_eq!(check(Method::HEAD, "/v1/bdbs"), "GET /v1/bdbs Params([])");
        assert_eq!(check(Method::GET, "/v1/bdbs/alerts"), "GET /v1/bdbs/alerts Params([])");
        assert_eq!(
            check(Method::GET, "/v1/bdbs/7"),
            "GET /v1/bdbs/{uid} Params([(\"uid\", \"7\")])"
        );
        assert_eq!(
            check(Method::DELETE, "/v1/bdbs/7"),
            "DELETE /v1/bdbs/{bdb_uid} Params([(\"bdb_uid\", \"7\")])"
        );
        assert_eq!(
            check(Method::GET, "/v1/bdbs/alerts/shards"),
            "GET /v1/bdbs/{uid}/shards Params([(\"uid\", \"alerts\")])"
        );
    }

    #[test]
    fn other_methods_are_told_and_unknown_paths_are_unknown() {
        assert_eq!(check(Method::PUT, "/v1/bdbs"), "405 GET, POST");
        assert_eq!(check(Method::OPTIONS, "/v1/bdbs/3"), "200 DELETE, GET");
        assert_eq!(check(Method::DELETE, "/v1/bdbs/alerts"), "405 GET");
        for unknown in [
            "/",
            "",
            "*",
            "/v1",
            "/v2/bdbs",
            "/v1//bdbs",
            "/v1/bdbs//",
            "/v1/bdbs/1/x",
            "/V1/bdbs",
        ] {
            assert_eq!(check(Method::GET, unknown), "404", "{unknown}");
        }
        assert_eq!(check(Method::GET, "/v1/bdbs/%zz"), MalformedPath.to_string());
    }
}
