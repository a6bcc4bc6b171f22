/* Which devices there are and what they are: handles, names, MIG. */
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- finding devices ---- */

static nvmlReturn_t count(enum call_id id, unsigned int *out)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, NO_DEVICE);
    if (result != NVML_SUCCESS) END(result);
    NEED(out != NULL);
    unsigned devices = 0;
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) devices += device_present(gpu);
    PUT(out, devices);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetCount, unsigned int *out) { return count(CALL_nvmlDeviceGetCount, out); }
API(nvmlDeviceGetCount_v2, unsigned int *out) { return count(CALL_nvmlDeviceGetCount_v2, out); }

static nvmlReturn_t hand_out(const call_t *call, int gpu, nvmlDevice_t *device)
{
    if (device == NULL) return NVML_ERROR_INVALID_ARGUMENT;
    const board_t *board = &call->world->boards[gpu];
    if (!board->declared || board_lost(board, call->t)) return NVML_ERROR_GPU_IS_LOST;
    *device = device_handle(gpu, -1);
    return NVML_SUCCESS;
}

static nvmlReturn_t by_index(enum call_id id, unsigned int index, nvmlDevice_t *device)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, NO_DEVICE);
    if (result != NVML_SUCCESS) END(result);
    int gpu = device_at_index(call.world, index);
    NEED(gpu >= 0);
    END(hand_out(&call, gpu, device));
}

API(nvmlDeviceGetHandleByIndex, unsigned int index, nvmlDevice_t *device)
{
    return by_index(CALL_nvmlDeviceGetHandleByIndex, index, device);
}

API(nvmlDeviceGetHandleByIndex_v2, unsigned int index, nvmlDevice_t *device)
{
    return by_index(CALL_nvmlDeviceGetHandleByIndex_v2, index, device);
}

static nvmlReturn_t find_uuid(const call_t *call, const char *uuid, nvmlDevice_t *device)
{
    if (uuid == NULL || device == NULL) return NVML_ERROR_INVALID_ARGUMENT;
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) {
        const board_t *board = &call->world->boards[gpu];
        if (!device_present(gpu)) continue;
        if (strcmp(board->uuid, uuid) == 0) return hand_out(call, gpu, device);
        for (int mig = 0; mig < board->mig_count; mig++) {
            if (strcmp(board->migs[mig].uuid, uuid) != 0) continue;
            *device = device_handle(gpu, mig);
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

API(nvmlDeviceGetHandleByUUID, const char *uuid, nvmlDevice_t *device)
{
    BEGIN_SYSTEM(nvmlDeviceGetHandleByUUID);
    END(find_uuid(&call, uuid, device));
}

static nvmlReturn_t by_pci(enum call_id id, const char *bus, nvmlDevice_t *device)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, NO_DEVICE);
    if (result != NVML_SUCCESS) END(result);
    NEED(bus != NULL);
    for (int gpu = 0; gpu < MAX_GPUS; gpu++) {
        const char *ours = call.world->boards[gpu].pci;
        /* "0000:1b:00.0" is the same place as "00000000:1B:00.0" */
        size_t extra = strlen(ours) > strlen(bus) ? strlen(ours) - strlen(bus) : 0;
        if (device_present(gpu) && strcasecmp(ours + extra, bus) == 0)
            END(hand_out(&call, gpu, device));
    }
    END(NVML_ERROR_NOT_FOUND);
}

API(nvmlDeviceGetHandleByPciBusId, const char *bus, nvmlDevice_t *device)
{
    return by_pci(CALL_nvmlDeviceGetHandleByPciBusId, bus, device);
}

API(nvmlDeviceGetHandleByPciBusId_v2, const char *bus, nvmlDevice_t *device)
{
    return by_pci(CALL_nvmlDeviceGetHandleByPciBusId_v2, bus, device);
}

API(nvmlDeviceGetIndex, nvmlDevice_t device, unsigned int *index)
{
    BEGIN(nvmlDeviceGetIndex, device);
    NEED(index != NULL);
    PUT(index, call.mig != NULL ? device->mig : device_index(call.world, call.gpu));
    END(NVML_SUCCESS);
}

/* ---- names and numbers ---- */

API(nvmlDeviceGetName, nvmlDevice_t device, char *name, unsigned int length)
{
    BEGIN(nvmlDeviceGetName, device);
    if (call.mig == NULL) END(call_text(name, length, call.board->name));
    char text[192];
    char part[24] = ""; /* a compute instance that is not the whole GPU instance: "1c." */
    if (call.mig->compute < call.mig->slices)
        snprintf(part, sizeof part, "%lldc.", call.mig->compute);
    snprintf(text, sizeof text, "%s MIG %s%lldg.%llugb", call.board->name, part, call.mig->slices,
             call.mig->memory >> 30);
    END(call_text(name, length, text));
}

API(nvmlDeviceGetUUID, nvmlDevice_t device, char *uuid, unsigned int length)
{
    BEGIN(nvmlDeviceGetUUID, device);
    END(call_text(uuid, length, call.mig != NULL ? call.mig->uuid : call.board->uuid));
}

API(nvmlDeviceGetSerial, nvmlDevice_t device, char *serial, unsigned int length)
{
    BEGIN_PHYSICAL(nvmlDeviceGetSerial, device);
    SUPPORT(call.board->serial[0] != '\0');
    END(call_text(serial, length, call.board->serial));
}

API(nvmlDeviceGetVbiosVersion, nvmlDevice_t device, char *version, unsigned int length)
{
    BEGIN_PHYSICAL(nvmlDeviceGetVbiosVersion, device);
    END(call_text(version, length, "96.00.00.00.01"));
}

API(nvmlDeviceGetMinorNumber, nvmlDevice_t device, unsigned int *minor)
{
    BEGIN_PHYSICAL(nvmlDeviceGetMinorNumber, device);
    NEED(minor != NULL);
    PUT(minor, call.board->minor);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetBrand, nvmlDevice_t device, nvmlBrandType_t *brand)
{
    BEGIN_PHYSICAL(nvmlDeviceGetBrand, device);
    NEED(brand != NULL);
    *brand = strstr(call.board->name, "GeForce") != NULL ? NVML_BRAND_GEFORCE : NVML_BRAND_NVIDIA;
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetArchitecture, nvmlDevice_t device, nvmlDeviceArchitecture_t *arch)
{
    BEGIN(nvmlDeviceGetArchitecture, device);
    NEED(arch != NULL);
    PUT(arch, (unsigned)call.board->arch_id);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetCudaComputeCapability, nvmlDevice_t device, int *major, int *minor)
{
    BEGIN(nvmlDeviceGetCudaComputeCapability, device);
    NEED(major != NULL && minor != NULL);
    PUT(major, call.board->cc_major);
    PUT(minor, call.board->cc_minor);
    END(NVML_SUCCESS);
}

static nvmlReturn_t pci_info(enum call_id id, nvmlDevice_t device, nvmlPciInfo_t *pci, bool legacy)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    NEED(pci != NULL);
    unsigned domain = 0, bus = 0, slot = 0;
    sscanf(call.board->pci, "%x:%x:%x", &domain, &bus, &slot);
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.0", domain & 0xffff,
             bus & 0xff, slot & 0x1f);
    pci->domain = domain;
    pci->bus = bus;
    pci->device = slot;
    pci->pciDeviceId = 0x233010de; /* an H100 */
    pci->pciSubSystemId = 0x16c110de;
    if (!legacy) strcpy(pci->busId, call.board->pci);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetPciInfo_v3, nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return pci_info(CALL_nvmlDeviceGetPciInfo_v3, device, pci, false);
}

/* Before version 3 the structure ended with 16 reserved bytes where busId (32 bytes) is now. */
API(nvmlDeviceGetPciInfo_v2, nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return pci_info(CALL_nvmlDeviceGetPciInfo_v2, device, pci, true);
}

API(nvmlDeviceGetPciInfo, nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return pci_info(CALL_nvmlDeviceGetPciInfo, device, pci, true);
}

/* ---- modes that never change here ---- */

static nvmlReturn_t mode(enum call_id id, nvmlDevice_t device, int *out, int *pending, int value)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    SUPPORT(call.mig == NULL);
    NEED(out != NULL && pending != NULL);
    PUT(out, value);
    PUT(pending, value);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetEccMode, nvmlDevice_t device, nvmlEnableState_t *current,
    nvmlEnableState_t *pending)
{
    return mode(CALL_nvmlDeviceGetEccMode, device, (int *)current, (int *)pending, 1);
}

API(nvmlDeviceGetPersistenceMode, nvmlDevice_t device, nvmlEnableState_t *out)
{
    return mode(CALL_nvmlDeviceGetPersistenceMode, device, (int *)out, (int *)out, 1);
}

API(nvmlDeviceGetComputeMode, nvmlDevice_t device, nvmlComputeMode_t *out)
{
    return mode(CALL_nvmlDeviceGetComputeMode, device, (int *)out, (int *)out, 0);
}

API(nvmlDeviceGetDisplayMode, nvmlDevice_t device, nvmlEnableState_t *out)
{
    return mode(CALL_nvmlDeviceGetDisplayMode, device, (int *)out, (int *)out, 0);
}

API(nvmlDeviceGetDisplayActive, nvmlDevice_t device, nvmlEnableState_t *out)
{
    return mode(CALL_nvmlDeviceGetDisplayActive, device, (int *)out, (int *)out, 0);
}

API(nvmlDeviceGetAccountingMode, nvmlDevice_t device, nvmlEnableState_t *out)
{
    return mode(CALL_nvmlDeviceGetAccountingMode, device, (int *)out, (int *)out, 0);
}

/* ---- MIG ---- */

API(nvmlDeviceGetMigMode, nvmlDevice_t device, unsigned int *current, unsigned int *pending)
{
    BEGIN_PHYSICAL(nvmlDeviceGetMigMode, device);
    SUPPORT(call.board->mig_capable);
    NEED(current != NULL && pending != NULL);
    PUT(current, call.board->mig);
    PUT(pending, call.board->mig);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetMaxMigDeviceCount, nvmlDevice_t device, unsigned int *out)
{
    BEGIN_PHYSICAL(nvmlDeviceGetMaxMigDeviceCount, device);
    NEED(out != NULL);
    PUT(out, call.board->mig_capable ? 7 : 0);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetMigDeviceHandleByIndex, nvmlDevice_t device, unsigned int index,
    nvmlDevice_t *mig)
{
    BEGIN_PHYSICAL(nvmlDeviceGetMigDeviceHandleByIndex, device);
    SUPPORT(call.board->mig_capable);
    NEED(mig != NULL);
    if (index >= (unsigned)call.board->mig_count) END(NVML_ERROR_NOT_FOUND);
    *mig = device_handle(call.gpu, (int)index);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, nvmlDevice_t mig, nvmlDevice_t *device)
{
    BEGIN(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, mig);
    NEED(call.mig != NULL && device != NULL);
    *device = device_handle(call.gpu, -1);
    END(NVML_SUCCESS);
}

API(nvmlDeviceIsMigDeviceHandle, nvmlDevice_t device, unsigned int *out)
{
    BEGIN(nvmlDeviceIsMigDeviceHandle, device);
    NEED(out != NULL);
    PUT(out, call.mig != NULL);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetGpuInstanceId, nvmlDevice_t device, unsigned int *id)
{
    BEGIN(nvmlDeviceGetGpuInstanceId, device);
    SUPPORT(call.mig != NULL);
    NEED(id != NULL);
    PUT(id, call.mig->gi);
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetComputeInstanceId, nvmlDevice_t device, unsigned int *id)
{
    BEGIN(nvmlDeviceGetComputeInstanceId, device);
    SUPPORT(call.mig != NULL);
    NEED(id != NULL);
    PUT(id, call.mig->ci);
    END(NVML_SUCCESS);
}

static nvmlReturn_t attributes(enum call_id id, nvmlDevice_t device, nvmlDeviceAttributes_t *out)
{
    call_t call;
    nvmlReturn_t result = call_begin(&call, id, device);
    if (result != NVML_SUCCESS) END(result);
    SUPPORT(call.mig != NULL);
    NEED(out != NULL);
    memset(out, 0, sizeof *out);
    out->multiprocessorCount = (unsigned)(16 * call.mig->slices); /* an H100's 1g slice has 16 */
    out->gpuInstanceSliceCount = (unsigned)call.mig->slices;
    out->computeInstanceSliceCount = (unsigned)call.mig->compute;
    out->memorySizeMB = call.mig->memory >> 20;
    END(NVML_SUCCESS);
}

API(nvmlDeviceGetAttributes, nvmlDevice_t device, nvmlDeviceAttributes_t *out)
{
    return attributes(CALL_nvmlDeviceGetAttributes, device, out);
}

API(nvmlDeviceGetAttributes_v2, nvmlDevice_t device, nvmlDeviceAttributes_t *out)
{
    return attributes(CALL_nvmlDeviceGetAttributes_v2, device, out);
}
