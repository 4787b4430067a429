//! Keys and certificates of one cluster: an authority that signs for the API server, for a kubelet, and for who calls it.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Paper {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS #8.
    pub key: String,
}

/// All of one cluster.
#[derive(Debug)]
pub(crate) struct Papers {
    pub(crate) authority: String,
    pub(crate) kubelet: Paper,
}

impl Papers {
    /// Makes them, and writes those that the API server reads.
    pub(crate) fn write(folder: &Path) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "throwaway");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        let server = signed(&issuer, "kube-apiserver", ExtendedKeyUsagePurpose::ServerAuth)?;
        let kubelet = signed(&issuer, "kubelet", ExtendedKeyUsagePurpose::ServerAuth)?;
        let caller = signed(&issuer, "kube-apiserver-kubelet-client", ExtendedKeyUsagePurpose::ClientAuth)?;
        // What signs the tokens of service accounts.
        let accounts = KeyPair::generate()?;
        for (name, text) in [
            ("authority.pem", &authority),
            ("server.pem", &server.certificate),
            ("server.key", &server.key),
            ("caller.pem", &caller.certificate),
            ("caller.key", &caller.key),
            ("accounts.key", &accounts.serialize_pem()),
            ("accounts.pem", &accounts.public_key_pem()),
        ] {
            fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(Self { authority, kubelet })
    }
}

fn signed(issuer: &Issuer<'_, KeyPair>, name: &str, usage: ExtendedKeyUsagePurpose) -> Result<Paper> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.signed_by(&key, issuer)?.pem();
    Ok(Paper { certificate, key: key.serialize_pem() })
}
