//! Which types of records are taken, and the words for those that are not.

use super::sleep::Stage;

/// What is done with the records of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    HeartRate,
    OxygenSaturation,
    RespiratoryRate,
    BodyTemperature,
    /// SDNN, and the beats below it.
    Variability,
    Steps,
    ActiveEnergy,
    BasalEnergy,
    Sleep,
    /// Not taken, and why.
    Left(&'static str),
}

/// Why a type is not taken whose name is none of Apple's that were known in 2026.
const UNKNOWN: &str = "records of a type that is not known here";

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "HKQuantityTypeIdentifierHeartRate" => Self::HeartRate,
            "HKQuantityTypeIdentifierOxygenSaturation" => Self::OxygenSaturation,
            "HKQuantityTypeIdentifierRespiratoryRate" => Self::RespiratoryRate,
            "HKQuantityTypeIdentifierBodyTemperature" => Self::BodyTemperature,
            "HKQuantityTypeIdentifierHeartRateVariabilitySDNN" => Self::Variability,
            "HKQuantityTypeIdentifierStepCount" => Self::Steps,
            "HKQuantityTypeIdentifierActiveEnergyBurned" => Self::ActiveEnergy,
            "HKQuantityTypeIdentifierBasalEnergyBurned" => Self::BasalEnergy,
            "HKCategoryTypeIdentifierSleepAnalysis" => Self::Sleep,
            "HKQuantityTypeIdentifierAppleSleepingWristTemperature" => {
                Self::Left("temperature of the wrist asleep, which is not body temperature")
            }
            "HKQuantityTypeIdentifierBasalBodyTemperature" => {
                Self::Left("basal body temperature, which is a measure of its own")
            }
            other => Self::Left(known(other).unwrap_or(UNKNOWN)),
        }
    }
}

/// What a record of sleep says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Asleep(Stage),
    /// In bed or awake, which is no sleep.
    Awake,
}

impl Rest {
    /// The value of a record of sleep; `None` if it is not known.
    pub(super) fn of(value: &str) -> Option<Self> {
        let stage = match value.strip_prefix("HKCategoryValueSleepAnalysis")? {
            "Asleep" | "AsleepUnspecified" => Stage::Asleep,
            "AsleepCore" => Stage::Core,
            "AsleepDeep" => Stage::Deep,
            "AsleepREM" => Stage::Rem,
            "InBed" | "Awake" => return Some(Self::Awake),
            _ => return None,
        };
        Some(Self::Asleep(stage))
    }
}

/// Apple's types as reasons: a report that names them says what a person has and we do not take.
macro_rules! known {
    ($($prefix:literal, $($name:literal)*;)*) => {
        fn known(name: &str) -> Option<&'static str> {
            match name {
                $($(concat!($prefix, $name) => Some(concat!("records that are no metric here: ", $prefix, $name)),)*)*
                _ => None,
            }
        }
    };
}

known! {
    "HKQuantityTypeIdentifier",
        "AppleExerciseTime" "AppleMoveTime" "AppleSleepingBreathingDisturbances" "AppleStandTime"
        "AppleWalkingSteadiness" "AtrialFibrillationBurden" "BloodAlcoholContent" "BloodGlucose"
        "BloodPressureDiastolic" "BloodPressureSystolic" "BodyFatPercentage" "BodyMass" "BodyMassIndex"
        "CrossCountrySkiingSpeed" "CyclingCadence" "CyclingFunctionalThresholdPower" "CyclingPower"
        "CyclingSpeed" "DietaryBiotin" "DietaryCaffeine" "DietaryCalcium" "DietaryCarbohydrates"
        "DietaryChloride" "DietaryCholesterol" "DietaryChromium" "DietaryCopper" "DietaryEnergyConsumed"
        "DietaryFatMonounsaturated" "DietaryFatPolyunsaturated" "DietaryFatSaturated" "DietaryFatTotal"
        "DietaryFiber" "DietaryFolate" "DietaryIodine" "DietaryIron" "DietaryMagnesium" "DietaryManganese"
        "DietaryMolybdenum" "DietaryNiacin" "DietaryPantothenicAcid" "DietaryPhosphorus" "DietaryPotassium"
        "DietaryProtein" "DietaryRiboflavin" "DietarySelenium" "DietarySodium" "DietarySugar" "DietaryThiamin"
        "DietaryVitaminA" "DietaryVitaminB12" "DietaryVitaminB6" "DietaryVitaminC" "DietaryVitaminD"
        "DietaryVitaminE" "DietaryVitaminK" "DietaryWater" "DietaryZinc" "DistanceCrossCountrySkiing"
        "DistanceCycling" "DistanceDownhillSnowSports" "DistancePaddleSports" "DistanceRowing"
        "DistanceSkatingSports" "DistanceSwimming" "DistanceWalkingRunning" "DistanceWheelchair"
        "ElectrodermalActivity" "EnvironmentalAudioExposure" "EnvironmentalSoundReduction"
        "EstimatedWorkoutEffortScore" "FlightsClimbed" "ForcedExpiratoryVolume1" "ForcedVitalCapacity"
        "HeadphoneAudioExposure" "HeartRateRecoveryOneMinute" "Height" "InhalerUsage" "InsulinDelivery"
        "LeanBodyMass" "NikeFuel" "NumberOfAlcoholicBeverages" "NumberOfTimesFallen" "PaddleSportsSpeed"
        "PeakExpiratoryFlowRate" "PeripheralPerfusionIndex" "PhysicalEffort" "PushCount" "RestingHeartRate"
        "RowingSpeed" "RunningGroundContactTime" "RunningPower" "RunningSpeed" "RunningStrideLength"
        "RunningVerticalOscillation" "SixMinuteWalkTestDistance" "StairAscentSpeed" "StairDescentSpeed"
        "SwimmingStrokeCount" "TimeInDaylight" "UVExposure" "UnderwaterDepth" "VO2Max" "WaistCircumference"
        "WalkingAsymmetryPercentage" "WalkingDoubleSupportPercentage" "WalkingHeartRateAverage" "WalkingSpeed"
        "WalkingStepLength" "WaterTemperature" "WorkoutEffortScore";
    "HKCategoryTypeIdentifier",
        "AbdominalCramps" "Acne" "AppetiteChanges" "AppleStandHour" "AppleWalkingSteadinessEvent"
        "AudioExposureEvent" "BladderIncontinence" "BleedingAfterPregnancy" "BleedingDuringPregnancy" "Bloating"
        "BreastPain" "CervicalMucusQuality" "ChestTightnessOrPain" "Chills" "Constipation" "Contraceptive"
        "Coughing" "Diarrhea" "Dizziness" "DrySkin" "EnvironmentalAudioExposureEvent" "Fainting" "Fatigue"
        "Fever" "GeneralizedBodyAche" "HairLoss" "HandwashingEvent" "Headache" "HeadphoneAudioExposureEvent"
        "Heartburn" "HighHeartRateEvent" "HotFlashes" "InfrequentMenstrualCycles" "IntermenstrualBleeding"
        "IrregularHeartRhythmEvent" "IrregularMenstrualCycles" "Lactation" "LossOfSmell" "LossOfTaste"
        "LowCardioFitnessEvent" "LowHeartRateEvent" "LowerBackPain" "MemoryLapse" "MenstrualFlow"
        "MindfulSession" "MoodChanges" "Nausea" "NightSweats" "OvulationTestResult" "PelvicPain"
        "PersistentIntermenstrualBleeding" "Pregnancy" "PregnancyTestResult" "ProgesteroneTestResult"
        "ProlongedMenstrualPeriods" "RapidPoundingOrFlutteringHeartbeat" "RunnyNose" "SexualActivity"
        "ShortnessOfBreath" "SinusCongestion" "SkippedHeartbeat" "SleepApneaEvent" "SleepChanges" "SoreThroat"
        "ToothbrushingEvent" "VaginalDryness" "Vomiting" "Wheezing";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_is_not_taken_is_named_in_its_reason() {
        for name in ["HKQuantityTypeIdentifierVO2Max", "HKCategoryTypeIdentifierMindfulSession"] {
            let Kind::Left(reason) = Kind::of(name) else { panic!("{name} is taken") };
            assert!(reason.ends_with(name), "{reason}");
        }
        assert_eq!(Kind::of("HKQuantityTypeIdentifierTomorrow"), Kind::Left(UNKNOWN));
        assert_eq!(Kind::of(""), Kind::Left(UNKNOWN));
    }

    #[test]
    fn resting_and_walking_heart_rate_and_other_temperatures_are_no_samples_of_ours() {
        for name in
            ["RestingHeartRate", "WalkingHeartRateAverage", "AppleSleepingWristTemperature", "BasalBodyTemperature"]
        {
            let kind = Kind::of(&format!("HKQuantityTypeIdentifier{name}"));
            assert!(matches!(kind, Kind::Left(_)), "{name}: {kind:?}");
        }
    }

    #[test]
    fn lying_in_bed_is_no_sleep() {
        assert_eq!(Rest::of("HKCategoryValueSleepAnalysisInBed"), Some(Rest::Awake));
        assert_eq!(Rest::of("HKCategoryValueSleepAnalysisAwake"), Some(Rest::Awake));
        assert_eq!(Rest::of("HKCategoryValueSleepAnalysisAsleep"), Some(Rest::Asleep(Stage::Asleep)));
        assert_eq!(Rest::of("HKCategoryValueSleepAnalysisAsleepCore"), Some(Rest::Asleep(Stage::Core)));
        assert_eq!(Rest::of("0"), None);
    }
}
