"""What becomes of each attribute: DICOM PS3.15, basic profile (table E.1-1), for CT, MR, SEG, SR and RTSTRUCT.

The table lists what its kind alone would not decide. Everything else goes by value representation: private attributes,
curves and overlays are removed, names emptied, UIDs mapped, dates and times treated as asked, and free text that is
listed nowhere here is removed too, which is stricter than the profile.
"""

from __future__ import annotations

import re

__all__ = [
    "BINARY_KEPT",
    "CHARACTERISTICS",
    "CLEANED",
    "EMPTIED",
    "EMPTY_TEXTS",
    "PLACEHOLDERS",
    "REMOVED",
    "REPLACED",
    "SOP_CLASSES",
    "TEXT_KEPT",
    "UIDS_KEPT",
    "cleaned",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Action X: removed whatever they hold; sequences with all their items.
REMOVED = _words("""
    AcquisitionComments AcquisitionContextSequence ActualHumanPerformersSequence AdmittingDate AdmittingTime
    AdmittingDiagnosesCodeSequence AuthorObserverSequence ClinicalTrialSeriesID ClinicalTrialTimePointID
    ConsultingPhysicianIdentificationSequence ContributingEquipmentSequence CustodialOrganizationSequence
    DataSetTrailingPadding DigitalSignaturesSequence EncryptedAttributesSequence GraphicAnnotationSequence
    IconImageSequence InstitutionCodeSequence InstitutionalDepartmentTypeCodeSequence
    IntendedRecipientsOfResultsIdentificationSequence InterpretationApproverSequence
    IssuerOfAccessionNumberSequence IssuerOfAdmissionIDSequence IssuerOfPatientIDQualifiersSequence
    IssuerOfServiceEpisodeIDSequence IssueDateOfImagingServiceRequest IssueTimeOfImagingServiceRequest
    LastMenstrualDate MACParametersSequence MAC ModifiedAttributesSequence OperatorIdentificationSequence
    OrderFillerIdentifierSequence OrderPlacerIdentifierSequence OriginalAttributesSequence OtherPatientIDsSequence
    ParticipantSequence PatientAge PatientBirthDateInAlternativeCalendar PatientBirthTime
    PatientDeathDateInAlternativeCalendar PatientInsurancePlanCodeSequence PatientPrimaryLanguageCodeSequence
    PatientSexNeutered PatientSize PatientSpeciesCodeSequence PatientBreedCodeSequence PatientWeight
    PatientBodyMassIndex PatientSizeCodeSequence PerformedProtocolCodeSequence
    PerformingPhysicianIdentificationSequence PersonIdentificationCodeSequence PhysiciansOfRecordIdentificationSequence
    PhysiciansReadingStudyIdentificationSequence PregnancyStatus PrivateDataElementCharacteristicsSequence
    ReasonForRequestedProcedureCodeSequence ReferencedDigitalSignatureSequence ReferencedPatientAliasSequence
    ReferencedPatientPhotoSequence ReferencedPatientSequence ReferencedRequestSequence ReferencedSOPInstanceMACSequence
    ReferringPhysicianIdentificationSequence RequestAttributesSequence RequestedProcedureCodeSequence
    RequestingServiceCodeSequence ResponsiblePersonRole ResultsDistributionListSequence
    ScheduledHumanPerformersSequence ScheduledPerformingPhysicianIdentificationSequence SmokingStatus
    SourcePatientGroupIdentificationSequence StudyVerifiedDate StudyReadDate TimezoneOffsetFromUTC
    VerifyingObserverIdentificationCodeSequence ConfidentialityCode StorageMediaFileSetID
    StorageMediaFileSetUID TransducerIdentificationSequence
""")

#: Action Z: present and empty, because their modules require them.
EMPTIED = _words("""
    AccessionNumber ReferringPhysicianName PatientBirthDate PatientSex StudyID ConsultingPhysicianName
    ClinicalTrialSubjectID ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialProtocolName
    FillerOrderNumberImagingServiceRequest PlacerOrderNumberImagingServiceRequest ContentCreatorName ROIInterpreter
    ReviewerName OperatorsName
""")

#: With patient characteristics retained: age, sex, size and weight stay (age at most 90 years).
CHARACTERISTICS = _words("PatientAge PatientSex PatientSize PatientWeight PatientBodyMassIndex")

#: Free text that may stay only word by word (``cleaned``).
CLEANED = _words("""
    SeriesDescription ContrastBolusAgent ContentDescription ContentLabel SegmentLabel SegmentDescription TrackingID
    ROIName ROIDescription ROIObservationLabel StructureSetLabel StructureSetName TextValue
    AcquisitionProtocolDescription ProtocolName
""")

#: What stands where a module requires a text of which no word may stay; {} is a running number.
PLACEHOLDERS = {
    "SegmentLabel": "segment {}",
    "TrackingID": "finding {}",
    "ROIName": "ROI {}",
    "StructureSetLabel": "structures",
    "ContentLabel": "CONTENT",
    "TextValue": "removed",
}

#: Required, and never of use: replaced whatever they hold (action D).
REPLACED = {"DeviceSerialNumber": "removed", "VerifyingOrganization": "removed"}

#: Required and possibly empty where no word may stay (type 2).
EMPTY_TEXTS = _words("ContentDescription")

#: Texts about devices, techniques and codes, which name nobody.
TEXT_KEPT = _words("""
    Manufacturer ManufacturerModelName SoftwareVersions ConvolutionKernel ConvolutionKernelGroup SequenceName
    PulseSequenceName RescaleType LUTExplanation ModalityLUTType CodeValue LongCodeValue CodingSchemeDesignator
    CodingSchemeVersion CodeMeaning PositionReferenceIndicator FilterType TransmitCoilName ReceiveCoilName
    ImagedNucleus ResonantNucleus SegmentAlgorithmName AlgorithmName AlgorithmVersion AlgorithmParameters
    ContrastBolusRoute StackID DimensionDescriptionLabel CodingSchemeName CodingSchemeResponsibleOrganization
    CodingSchemeExternalID CodingSchemeRegistry ReconstructionAlgorithm AcquisitionContrast ScanOptions
    DeidentificationMethod WindowCenterWidthExplanation LossyImageCompressionMethod
    ROIPhysicalProperty
""")

#: UIDs that mean a kind of thing, not a thing.
UIDS_KEPT = _words("""
    SOPClassUID ReferencedSOPClassUID TransferSyntaxUID ReferencedTransferSyntaxUIDInFile CodingSchemeUID ContextUID
    MappingResourceUID ReferencedSOPClassUIDInFile OriginalSpecializedSOPClassUID RelatedGeneralSOPClassUID
    ImplementationClassUID PrivateInformationCreatorUID
""")

#: Binary values that may stay: pixels, tables of grey and colour, coordinates.
BINARY_KEPT = _words("""
    PixelData FloatPixelData DoubleFloatPixelData LUTData ICCProfile RedPaletteColorLookupTableData
    GreenPaletteColorLookupTableData BluePaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData
    SegmentedGreenPaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData PointCoordinatesData
    VectorCoordinateData LongPrimitivePointIndexList LongTrianglePointIndexList TrianglePointIndexList
    EdgePointIndexList VertexPointIndexList ExtendedOffsetTable ExtendedOffsetTableLengths PixelPaddingValue
    PixelPaddingRangeLimit SmallestImagePixelValue LargestImagePixelValue RedPaletteColorLookupTableDescriptor
    GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor LUTDescriptor
""")

#: The kinds of object the table covers; any other kind is left out.
SOP_CLASSES = {
    f"1.2.840.10008.5.1.4.1.1.{tail}": name
    for tail, name in {
        "2": "CT", "2.1": "CT", "2.2": "CT", "4": "MR", "4.1": "MR", "4.4": "MR", "66.4": "SEG", "66.7": "SEG",
        "88.22": "SR", "88.33": "SR", "88.34": "SR", "481.3": "RTSTRUCT",
    }.items()
}  # fmt: skip

#: Words of anatomy, contrast phase, sequence and direction; in German, French, Spanish and Italian where usual.
_VOCABULARY = _words("""
    abdomen abdominal liver leber foie higado fegato hepatic hepatocyte hepatobiliary upper chest thorax pelvis spleen
    portal vein vena venous venos veineux venoso artery arterial arteriell arteriel arterie arteriosa early late frueh
    spaet delayed delay equilibrium equilibre interstitial transitional pre post native nativ plain without with
    contrast kontrast km kontrastmittel contraste iv injection phase phases dynamic dyn multiphase biphasic triphasic
    series t1 t1w t2 t2w t1wi t2wi pd dwi adc diff diffusion trace b map ep epi se tse fse ssfse gre flash vibe lava
    thrive dixon mdixon haste trufi fiesta space blade propeller stir spair spir fs fatsat fat water in out opp opposed
    inphase
    outphase ip op sub subtraction tra ax axial cor coronal sag sagittal transverse oblique mpr thin thick slice std
    standard soft bone lung kernel recon reconstruction iterative breathhold bh trig triggered resp navigated fb sec s
    min mm kv ms hu ct mr mri scan scout localizer 2d 3d
    lesion lesions tumor tumour viable necrosis necrotic nonviable enhancing segment segments couinaud target nontarget
    non new node nodes thrombus finding roi structure structures inferior superior left right anterior posterior medial
    lateral lobe caudate kidney gallbladder pancreas stomach aorta cava vessel vessels body spine margin remnant future
    resection volume reader measurement baseline followup followup1 week month visit mrecist recist easl
    i ii iii iv v vi vii viii iva ivb
    gadoxetate gadolinium gadobutrol gadoterate primovist eovist dotarem gadovist magnevist omniscan prohance
    iohexol iopamidol iomeprol iopromide iodixanol omnipaque visipaque ultravist imeron isovue xenetix iobitridol
""")
_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")
_NUMBER = re.compile(r"\d{1,3}(?:\.\d)?(?:mm|s|sec|ms|kv|min)?|b\d{1,4}|s\d")


def cleaned(text: str) -> str:
    """The words of a text that belong to a fixed vocabulary of radiology, and numbers of up to three digits."""
    found = (word for word in _WORD.findall(text) if word.lower() in _VOCABULARY or _NUMBER.fullmatch(word.lower()))
    return " ".join(found)
