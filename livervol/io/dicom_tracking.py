"""Identifiers of a finding that stay the same from visit to visit."""

from __future__ import annotations

import uuid

from livervol.errors import ScanError, refusal

__all__ = ["tracking_uid"]

#: Namespace of this program's tracking UIDs; changing it would make every followed lesion a new one.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "livervol tracking")


def tracking_uid(subject: str, finding: str) -> str:
    """A DICOM UID (``2.25.…``) that depends on the subject's pseudonym and the finding's name alone.

    ``subject`` should name the study too where pseudonyms repeat between studies (``study/subject``).
    The UID is a version-5 UUID (RFC 9562, section 5.5; DICOM PS3.5 B.2) and does not show the pseudonym.
    """
    if not subject or not finding:
        raise ScanError(
            refusal(
                "tracking UID without a subject or finding", expected="two names", got=repr("" if subject else "none")
            )
        )
    # the separator cannot occur in either name, so that two pairs never run together
    return f"2.25.{uuid.uuid5(_NAMESPACE, f'{subject}{chr(0)}{finding}').int}"
