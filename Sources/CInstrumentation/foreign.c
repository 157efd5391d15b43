// SPDX-License-Identifier: Apache-2.0

#include "quiesce_foreign.h"
