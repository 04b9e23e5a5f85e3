//! The nouns that the store keeps: one file each, with its indexes and the questions that they answer.

pub(crate) mod acl_rule;
pub(crate) mod database;
pub(crate) mod document;
pub(crate) mod group;
pub(crate) mod host;
pub(crate) mod operation;
pub(crate) mod role;
pub(crate) mod setting;
pub(crate) mod tenant;
pub(crate) mod user;

use imbl::OrdSet;
use pilothouse_model::{AclRule, Database, DatabaseGroup, Document, Host, Operation, Role, Tenant, User};

use crate::Setting;
use crate::record::Shelf;

/// Every record of every noun.
#[derive(Clone, Default)]
pub struct Nouns {
    pub(crate) tenants: Shelf<Tenant>,
    pub(crate) hosts: Shelf<Host>,
    pub(crate) databases: Shelf<Database>,
    pub(crate) groups: Shelf<DatabaseGroup>,
    pub(crate) operations: Shelf<Operation>,
    pub(crate) users: Shelf<User>,
    pub(crate) roles: Shelf<Role>,
    pub(crate) acl_rules: Shelf<AclRule>,
    pub(crate) documents: Shelf<Document>,
    pub(crate) settings: Shelf<Setting>,
}

/// An index: which records (by id) have which keys. A record may have several keys, a key several records.
pub(crate) struct Links<K, I>(OrdSet<(K, I)>);

impl<K: Ord + Clone, I: Ord + Clone> Links<K, I> {
    /// Brings the keys of one record from `old` to `new`. Costs nothing but a comparison when they are the same, as they mostly are.
    pub(crate) fn relink(&mut self, id: &I, old: impl IntoIterator<Item = K>, new: impl IntoIterator<Item = K>) {
        let old: Vec<K> = old.into_iter().collect();
        let new: Vec<K> = new.into_iter().collect();
        if old == new {
            return;
        }
        for key in old {
            self.0.remove(&(key, id.clone()));
        }
        for key in new {
            self.0.insert((key, id.clone()));
        }
    }

    /// The ids with that key, in order. `first` is an id that is not after any other.
    pub(crate) fn of(&self, key: K, first: I) -> impl Iterator<Item = &I> {
        let key_of_range = key.clone();
        self.0
            .range((key, first)..)
            .take_while(move |(key, _)| *key == key_of_range)
            .map(|(_, id)| id)
    }

    /// Every pair of key and id, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, I)> {
        self.0.iter()
    }
}

impl<K, I> Clone for Links<K, I> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, I> Default for Links<K, I> {
    fn default() -> Self {
        Self(OrdSet::new())
    }
}

/// A noun without indexes: nothing to keep up to date.
macro_rules! plain_noun {
    ($noun:ty, $id:ty, $table:ident, $shelf:ident, |$record:ident| $id_of:expr) => {
        impl crate::record::sealed::Noun for $noun {
            type Index = ();
            fn shelf(nouns: &crate::nouns::Nouns) -> &crate::record::Shelf<Self> {
                &nouns.$shelf
            }
            fn shelf_mut(nouns: &mut crate::nouns::Nouns) -> &mut crate::record::Shelf<Self> {
                &mut nouns.$shelf
            }
            fn reindex((): &mut (), _old: Option<&Self>, _new: Option<&Self>) {}
        }

        impl crate::Record for $noun {
            type Id = $id;
            const TABLE: crate::Table = crate::Table::$table;
            fn id(&self) -> $id {
                let $record = self;
                $id_of
            }
        }
    };
}
pub(crate) use plain_noun;
