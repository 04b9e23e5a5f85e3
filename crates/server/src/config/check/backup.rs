//! `[backup]`: where backups may go, and buckets by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use pilothouse_control::S3Bucket;
use pilothouse_model::BucketName;

use super::{Checker, text};
use crate::config::checked::Backup;
use crate::config::raw::{RawBackup, RawS3};

impl Checker<'_> {
    pub(super) fn backup(&mut self, raw: &RawBackup) -> Backup {
        let mut s3 = BTreeMap::new();
        for (index, raw) in raw.s3.iter().enumerate() {
            let key = format!("backup.s3[{index}]");
            if let Some((name, bucket)) = self.bucket(&key, raw)
                && s3.insert(name.clone(), Arc::new(bucket)).is_some()
            {
                self.refuse(
                    &format!("{key}.name"),
                    format!("is {:?}, as that of another bucket", name.as_str()),
                );
            }
        }
        Backup {
            local_root: (!raw.local_root.is_empty()).then(|| self.required_path("backup.local_root", &raw.local_root)),
            s3,
        }
    }

    /// The bucket and the name that requests use for it.
    fn bucket(&mut self, key: &str, raw: &RawS3) -> Option<(BucketName, S3Bucket)> {
        let name = |text: &str| BucketName::parse(text).map_err(|error| format!("is {text:?}: {error}"));
        let bucket = self.value(&format!("{key}.bucket"), name(&raw.bucket).map(Some), None);
        let called = match text(&raw.name) {
            Some(called) => self.value(&format!("{key}.name"), name(&called).map(Some), None),
            None => bucket.clone(),
        };
        let access_key = self.secret(&format!("{key}.access_key"), &raw.access_key);
        let secret_key = self.secret(&format!("{key}.secret_key"), &raw.secret_key);
        let endpoint = S3Bucket::check_endpoint(&raw.endpoint)
            .map_err(|error| format!("is {error}; allowed: http://HOST:PORT or https://HOST"));
        self.value(&format!("{key}.endpoint"), endpoint.map(Some), None)?;
        let (region, access_key) = (&raw.region, access_key.expose());
        let made = S3Bucket::new(
            &raw.endpoint,
            region,
            &bucket?,
            !raw.path_style,
            access_key,
            &secret_key,
        );
        let made = made.map_err(|error| format!("is {:?}: {error}", raw.bucket));
        let made = self.value(&format!("{key}.bucket"), made.map(Some), None)?;
        Some((called?, made))
    }
}
