/* See intrin.h. */
#pragma once
