//! Filter, instance and volume objects: references, look-up and enumeration.
//!
//! Reference: the `fltkernel.h` pages of the Windows driver DDI documentation.

use crate::abi::fltapi_functions;
use crate::*;

pub type FILTER_INFORMATION_CLASS = i32;
pub type INSTANCE_INFORMATION_CLASS = i32;

pub const FilterFullInformation: FILTER_INFORMATION_CLASS = 0;
pub const FilterAggregateBasicInformation: FILTER_INFORMATION_CLASS = 1;
pub const FilterAggregateStandardInformation: FILTER_INFORMATION_CLASS = 2;
pub const FilterVolumeBasicInformation: FILTER_VOLUME_INFORMATION_CLASS = 0;
pub const FilterVolumeStandardInformation: FILTER_VOLUME_INFORMATION_CLASS = 1;
pub const InstanceBasicInformation: INSTANCE_INFORMATION_CLASS = 0;
pub const InstancePartialInformation: INSTANCE_INFORMATION_CLASS = 1;
pub const InstanceFullInformation: INSTANCE_INFORMATION_CLASS = 2;
pub const InstanceAggregateStandardInformation: INSTANCE_INFORMATION_CLASS = 3;

pub const FLTFL_AGGREGATE_INFO_IS_MINIFILTER: ULONG = 1;
pub const FLTFL_ASI_IS_MINIFILTER: ULONG = 1;
pub const FLTFL_IASI_IS_MINIFILTER: ULONG = 1;

fltapi_functions! {
    /// Adds a rundown reference to a filter, instance or volume.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltObjectReference(FltObject: PVOID) -> NTSTATUS;

    /// Removes a rundown reference from a filter, instance or volume.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltObjectDereference(FltObject: PVOID);

    /// Finds a filter by name; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetFilterFromName(FilterName: PCUNICODE_STRING, RetFilter: *mut PFLT_FILTER) -> NTSTATUS;

    /// The filter of an instance; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetFilterFromInstance(Instance: PFLT_INSTANCE, RetFilter: *mut PFLT_FILTER) -> NTSTATUS;

    /// Finds a volume by name; the caller owns one reference.
    ///
    /// `IRQL == PASSIVE_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeFromName(Filter: PFLT_FILTER, VolumeName: PCUNICODE_STRING, RetVolume: *mut PFLT_VOLUME) -> NTSTATUS;

    /// The volume of an instance; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeFromInstance(Instance: PFLT_INSTANCE, RetVolume: *mut PFLT_VOLUME) -> NTSTATUS;

    /// The volume of a file object; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeFromFileObject(Filter: PFLT_FILTER, FileObject: PFILE_OBJECT, RetVolume: *mut PFLT_VOLUME) -> NTSTATUS;

    /// The volume of a device object; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeFromDeviceObject(Filter: PFLT_FILTER, DeviceObject: PDEVICE_OBJECT, RetVolume: *mut PFLT_VOLUME) -> NTSTATUS;

    /// Finds an instance by volume and name; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetVolumeInstanceFromName(Filter: PFLT_FILTER, Volume: PFLT_VOLUME, InstanceName: PCUNICODE_STRING, RetInstance: *mut PFLT_INSTANCE) -> NTSTATUS;

    /// Lists the registered filters; the caller owns one reference on each.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltEnumerateFilters(FilterList: *mut PFLT_FILTER, FilterListSize: ULONG, NumberFiltersReturned: *mut ULONG) -> NTSTATUS;

    /// Lists the volumes; the caller owns one reference on each.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltEnumerateVolumes(Filter: PFLT_FILTER, VolumeList: *mut PFLT_VOLUME, VolumeListSize: ULONG, NumberVolumesReturned: *mut ULONG) -> NTSTATUS;

    /// Lists instances of a filter, a volume or both; the caller owns one reference on each.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltEnumerateInstances(Volume: PFLT_VOLUME, Filter: PFLT_FILTER, InstanceList: *mut PFLT_INSTANCE, InstanceListSize: ULONG, NumberInstancesReturned: *mut ULONG) -> NTSTATUS;

    /// The highest instance of a volume; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetTopInstance(Volume: PFLT_VOLUME, Instance: *mut PFLT_INSTANCE) -> NTSTATUS;

    /// The lowest instance of a volume; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetBottomInstance(Volume: PFLT_VOLUME, Instance: *mut PFLT_INSTANCE) -> NTSTATUS;

    /// The next instance above; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetUpperInstance(CurrentInstance: PFLT_INSTANCE, UpperInstance: *mut PFLT_INSTANCE) -> NTSTATUS;

    /// The next instance below; the caller owns one reference.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetLowerInstance(CurrentInstance: PFLT_INSTANCE, LowerInstance: *mut PFLT_INSTANCE) -> NTSTATUS;

    /// Compares the altitudes of two instances: negative, zero or positive.
    ///
    /// any IRQL its page allows; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltCompareInstanceAltitudes(Instance1: PFLT_INSTANCE, Instance2: PFLT_INSTANCE) -> LONG;

    /// Describes a filter.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetFilterInformation(Filter: PFLT_FILTER, InformationClass: FILTER_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;

    /// Describes an instance.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetInstanceInformation(Instance: PFLT_INSTANCE, InformationClass: INSTANCE_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;

    /// The Filter Manager's device object of a volume; the caller owns one reference.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetDeviceObject(Volume: PFLT_VOLUME, DeviceObject: *mut PDEVICE_OBJECT) -> NTSTATUS;

    /// The disk device object of a volume; the caller owns one reference.
    ///
    /// `IRQL <= DISPATCH_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltGetDiskDeviceObject(Volume: PFLT_VOLUME, DiskDeviceObject: *mut PDEVICE_OBJECT) -> NTSTATUS;

    /// Describes the filter at an index.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltEnumerateFilterInformation(Index: ULONG, InformationClass: FILTER_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;

    /// Describes the instance of a filter at an index.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltEnumerateInstanceInformationByFilter(Filter: PFLT_FILTER, Index: ULONG, InformationClass: INSTANCE_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;

    /// Describes the instance of a volume at an index.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltEnumerateInstanceInformationByVolume(Volume: PFLT_VOLUME, Index: ULONG, InformationClass: INSTANCE_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;

    /// The same, of a volume by its name.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.
    pub fn FltEnumerateInstanceInformationByVolumeName(VolumeName: PUNICODE_STRING, Index: ULONG, InformationClass: INSTANCE_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;

    /// The same, of a volume by its device object.
    ///
    /// `IRQL <= APC_LEVEL`; Windows 8.
    pub fn FltEnumerateInstanceInformationByDeviceObject(DeviceObject: PDEVICE_OBJECT, Index: ULONG, InformationClass: INSTANCE_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;

    /// Describes the volume at an index.
    ///
    /// `IRQL <= APC_LEVEL`; Windows XP SP2 / 2000 SP4 URP.
    pub fn FltEnumerateVolumeInformation(Filter: PFLT_FILTER, Index: ULONG, InformationClass: FILTER_VOLUME_INFORMATION_CLASS, Buffer: PVOID, BufferSize: ULONG, BytesReturned: *mut ULONG) -> NTSTATUS;
}
