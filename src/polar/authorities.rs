//! Certificate authorities that are trusted beside the system's.

use std::path::Path;

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::error::SetupError;

/// Reads the authorities of a PEM file.
pub(super) fn read(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let pem = std::fs::read(path)
        .map_err(|error| SetupError::CaFileUnreadable { path: path.to_owned(), kind: error.kind() })?;
    parse(path, &pem)
}

/// The certificates of a PEM file; keys and whatever else lies between them are left out. Each is tried as an authority
/// here, where the file can still be named.
pub(super) fn parse(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, SetupError> {
    let fault = |fault| SetupError::CaFile { path: path.to_owned(), fault };
    let mut trusted = RootCertStore::empty();
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| fault("a certificate in it is cut or damaged"))?;
        certificates.push(
            Certificate::from_der(&certificate).map_err(|_| fault("a certificate in it can't be read"))?,
        );
        trusted.add(certificate).map_err(|_| fault("a certificate in it is no authority's"))?;
    }
    if certificates.is_empty() {
        return Err(fault("there is no certificate in it"));
    }
    Ok(certificates)
}
