//! Settings that are only stored and shown: one document of the installation each, described by a table.

use pilothouse_api::JsonObject;
use pilothouse_model::Subject;

use crate::app::App;
use crate::call::Call;
use crate::error::Failure;
use crate::fields::Field;
use crate::{documents, fields};

/// The object: defaults, and over them what was stored.
pub(crate) fn read(app: &App, table: &[Field], document: &str) -> JsonObject {
    fields::merged(table, documents::read(app, Subject::Installation, document).as_ref())
}

/// Checks the body, stores what of it is known, and gives the whole object. Objects are merged key by key.
pub(crate) async fn write(
    app: &App,
    call: &Call,
    table: &'static [Field],
    document: &'static str,
) -> Result<JsonObject, Failure> {
    let mut changes = fields::checked(table, &call.body()?)?;
    let current = read(app, table, document);
    for (name, change) in &mut changes {
        if let (Some(change), Some(known)) = (
            change.as_object_mut(),
            current.get(name).and_then(|known| known.as_object()),
        ) {
            let mut merged = known.clone();
            merged.append(change);
            *change = merged;
        }
    }
    let message = format!("{document} changed");
    let event = documents::event(&call.caller, "cluster-updated", Subject::Installation, message);
    documents::change(app, &call.caller, Subject::Installation, document, changes, Some(event)).await?;
    Ok(read(app, table, document))
}
