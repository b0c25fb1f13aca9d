"""The names of the W3C Data Privacy Vocabulary (DPV) that manifests and exported records use.

Source: DPV 2.3, 2.3/dpv/dpv.csv of github.com/w3c/dpv at f01a55c3 (28 February 2026), its names alone; that file is
under the W3C Software and Document License (2023). Which one stands for which part of a consent record follows
"Consent Records and Receipts as per ISO/IEC TS 27560:2023 using DPV", Final Community Group Report of 1 August 2024
(guides/consent-27560.html there).
"""

from typing import Final

__all__ = ("BASES", "NAMESPACE", "PURPOSES", "TERMS")

NAMESPACE: Final = "https://w3id.org/dpv#"

TERMS: Final = frozenset("""
    ConsentExpired ConsentGiven ConsentNotice ConsentRecord ConsentRefused ConsentWithdrawn DataController DataSubject
    ExplicitlyExpressedConsent PersonalData Process ProcessingLocation Purpose Service StorageDuration
    UntilTimeDuration WithdrawConsent WithinDevice

    hasConsentControl hasConsentStatus hasContact hasDataController hasDataSubject hasDuration hasIdentifier
    hasIndicationMethod hasLegalBasis hasLocation hasName hasNotice hasPersonalData hasProcess hasProcessingCondition
    hasPurpose hasRecipient hasService hasStorageCondition isExercisedAt isIndicatedAtTime isIndicatedBy
""".split())
"""The classes and properties of exported records, without the prefix."""

BASES: Final = frozenset("Consent Contract LegalObligation LegitimateInterest PublicInterest VitalInterest".split())
"""The lawful bases that a manifest may name."""

PURPOSES: Final = frozenset("""
    AcademicResearch AccountManagement Advertising AgeVerification CombatClimateChange CommercialPurpose
    CommercialResearch CommunicationForCustomerCare CommunicationManagement CounterMoneyLaundering Counterterrorism
    CustomerCare CustomerClaimsManagement CustomerManagement CustomerOrderManagement CustomerRelationshipManagement
    CustomerSolvencyMonitoring DataAltruism DataAvailabilityAssessment DataGovernance DataInteroperabilityAssessment
    DataInteroperabilityImprovement DataInteroperabilityManagement DataInventoryManagement DataQualityAssessment
    DataQualityImprovement DataQualityManagement DataSecurityManagement DataSuitabilityAssessment DeliveryOfGoods
    DirectMarketing DisputeManagement EnforceAccessControl EnforceSecurity EstablishContractualAgreement
    FraudPreventionAndDetection FulfilmentOfContractualObligation FulfilmentOfObligation HumanResourceManagement
    IdentityAuthentication IdentityVerification ImproveExistingProductsAndServices ImproveHealthcare
    ImproveInternalCRMProcesses ImprovePublicServices ImproveTransportMobility IncreaseServiceRobustness
    InternalResourceOptimisation LegalCompliance MaintainFraudDatabase Marketing MemberPartnerManagement
    MetadataManagement MisusePreventionAndDetection NonCommercialPurpose NonCommercialResearch OptimisationForConsumer
    OptimisationForController OptimiseUserInterface OrganisationComplianceManagement OrganisationGovernance
    OrganisationRiskManagement PaymentManagement Personalisation PersonalisedAdvertising PersonalisedBenefits
    PersonnelBehaviourMonitoring PersonnelHiring PersonnelManagement PersonnelMonitoring PersonnelOffboarding
    PersonnelOnboarding PersonnelPayment PersonnelPerformanceEvaluation PersonnelPerformanceManagement
    PersonnelPerformanceMonitoring PersonnelPerformancePrediction PersonnelPromotionManagement
    PersonnelTerminationManagement PersonnelWorkloadManagement PoliticalCampaign ProtectionOfIPR
    ProtectionOfNationalSecurity ProtectionOfPublicSecurity ProvideEventRecommendations ProvideOfficialStatistics
    ProvidePersonalisedRecommendations ProvideProductRecommendations PublicBenefit PublicPolicyMaking PublicRelations
    RecordManagement RecruitmentAdvertising RecruitmentApplicantBackgroundCheck
    RecruitmentApplicantCriminalBackgroundCheck RecruitmentApplicantInformationAuthentication
    RecruitmentApplicantSelection RecruitmentApplicationAnalysis RecruitmentApplicationManagement
    RecruitmentApplicationScreening RecruitmentInterviewAnalysis RecruitmentInterviewAssessment
    RecruitmentInterviewManagement RecruitmentInterviewScheduling RecruitmentManagement RecruitmentTargetedAdvertising
    RepairImpairments RequestedServiceProvision ResearchAndDevelopment RightsFulfilment ScientificResearch
    SearchFunctionalities SellDataToThirdParties SellInsightsFromData SellProducts SellProductsToDataSubject
    ServiceAccessDetermination ServiceManagement ServiceMonitoring ServiceOptimisation ServicePersonalisation
    ServiceProvision ServiceRegistration ServiceUsageAnalytics SocialMediaMarketing TargetedAdvertising
    TechnicalServiceProvision UserInterfacePersonalisation VendorManagement VendorPayment VendorRecordsManagement
    VendorSelectionAssessment Verification
""".split())
"""Every purpose there is: what is narrower than "Purpose". A manifest may name a newer one, of which a check warns."""
