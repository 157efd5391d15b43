// SPDX-License-Identifier: Apache-2.0
//
// The shims below Swift: what the language cannot say. No algorithm lives here.

#ifndef CSUBSTRATE_H
#define CSUBSTRATE_H

#include "quiesce_block.h"
#include "quiesce_fiber.h"
#include "quiesce_inbox.h"
#include "quiesce_interpose.h"
#include "quiesce_jobs.h"
#include "quiesce_machine.h"
#include "quiesce_platform.h"

#endif
