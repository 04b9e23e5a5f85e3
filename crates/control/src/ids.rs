//! Wire ids: each dialect registers its schemes at wiring, and every commit that creates an object gives it an id in each of them.

use pilothouse_model::Subject;
use pilothouse_store::{Transaction, WireId};

use crate::{ControlError, Noun};

/// Which kind of object a scheme names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are the variants of `Subject`")]
pub enum SubjectKind {
    Group,
    Database,
    Server,
    Host,
    User,
    Role,
    AclRule,
}

impl SubjectKind {
    /// The kind of a subject; `None` for kinds that no API numbers.
    pub const fn of(subject: &Subject) -> Option<Self> {
        match subject {
            Subject::Group(_) => Some(Self::Group),
            Subject::Database(_) => Some(Self::Database),
            Subject::Server(_) => Some(Self::Server),
            Subject::Host(_) => Some(Self::Host),
            Subject::User(_) => Some(Self::User),
            Subject::Role(_) => Some(Self::Role),
            Subject::AclRule(_) => Some(Self::AclRule),
            Subject::Installation | Subject::Tenant(_) => None,
        }
    }
}

/// How a dialect names objects of one kind.
#[derive(Clone, Copy, Debug)]
pub struct IdScheme {
    /// Unique over all dialects, for instance `redis-enterprise/bdb`.
    pub name: &'static str,
    /// What it names.
    pub kind: SubjectKind,
    /// The number that the first object gets; the following ones count up, and no number is ever given twice.
    pub first: u64,
}

/// All schemes of all dialects.
#[derive(Clone, Debug, Default)]
pub struct IdSchemes(Vec<IdScheme>);

impl IdSchemes {
    /// These schemes.
    pub fn new(schemes: Vec<IdScheme>) -> Self {
        Self(schemes)
    }

    /// Every scheme.
    pub fn iter(&self) -> impl Iterator<Item = &IdScheme> {
        self.0.iter()
    }

    /// Gives `subject` an id in every scheme of its kind in which it has none.
    pub(crate) fn complete(&self, transaction: &mut Transaction<'_>, subject: Subject) {
        for scheme in self
            .0
            .iter()
            .filter(|scheme| Some(scheme.kind) == SubjectKind::of(&subject))
        {
            if transaction.view().wire_id(scheme.name, &subject).is_none() {
                transaction.allocate_number(scheme.name, scheme.first, subject);
            }
        }
    }

    /// Gives `subject` an id in every scheme of its kind, except where `chosen` names one for a scheme.
    pub(crate) fn allocate(
        &self,
        transaction: &mut Transaction<'_>,
        subject: Subject,
        chosen: Option<(&'static str, WireId)>,
    ) -> Result<(), ControlError> {
        for scheme in self
            .0
            .iter()
            .filter(|scheme| Some(scheme.kind) == SubjectKind::of(&subject))
        {
            match &chosen {
                Some((name, id)) if *name == scheme.name => transaction
                    .assign(scheme.name, subject, id.clone())
                    .map_err(|_| ControlError::AlreadyExists {
                        what: Noun::Database,
                        field: "id",
                    })?,
                _ => {
                    transaction.allocate_number(scheme.name, scheme.first, subject);
                }
            }
        }
        Ok(())
    }
}
