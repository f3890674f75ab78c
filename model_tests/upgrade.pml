/* The upgrade level once more, by hand and in another language: a mistake in one of the two models shows as another
 * number of states. The specification is spec/hotswap_spec/upgrade.py; this file is there to be compared with it.
 *
 * A thread is a process, and its place is the control state: labels are named as the places in the specification.
 * Each option of an `if` or `do` is one step there, and is one step here too, since all it does is in a d_step (or it
 * only goes elsewhere). What a guard could find out from the rest of the state (how many calls run in a version, say)
 * is kept in a variable, which adds no states. Nobody terminates, for that would be a step more. So spin stores
 * exactly the states that the explorer visits.
 *
 * The test gives the bounds: CALLERS, UPGRADERS (at most 4), VERSIONS (2 to 15), CANCELLERS and CLOSERS. ENDLESS is 1
 * if upgraders and cancellers start again, numbers of versions are used again, and nothing is counted. SEEDED plants
 * the error that the property of that number must find; 0 plants none.
 */

#if ENDLESS
#define HOME  end_idle                   /* where upgraders go when they have their answer; cancellers: READY */
#define READY end_ready
#else
#define HOME  end_done
#define READY end_done
#endif

#define C (_pid)                         /* the number of a caller, upgrader, version: they start in this order */
#define U (_pid - CALLERS)
#define V (_pid - CALLERS - UPGRADERS)

mtype:phases = { ACTIVE, PREPARING_UPGRADE, SWAPPING, DRAINING, UPGRADE_COMPLETE, ROLLED_BACK, CLOSED };
mtype:stages = { fresh, candidate, live, retired, reclaimed };

/* Code and manifest: the numbers of the versions that they are of, published together. */
#define REF(code, manifest) (((code) << 4) | (manifest))
#define CODE(ref) ((ref) >> 4)
#define MANIFEST(ref) ((ref) & 15)
#define NOTHING 255
#define NO_VERSION 255

mtype:phases phase = ACTIVE;
byte current = REF(0, 0);
byte before = REF(0, 0);                 /* current, when the latest attempt began */
byte kept = NO_VERSION;                  /* the attempt under way may roll back to it */
bool gate_shut, is_closed;
byte attempts, successes, failures, cancelled;

mtype:stages stage[VERSIONS] = { live, fresh };           /* the last one is that of all others, too */
bool interrupted[VERSIONS];
byte running[VERSIONS];                  /* calls inside */
byte unused = VERSIONS - 1;              /* versions that are fresh */
byte serving = 1;                        /* versions neither fresh nor reclaimed */

byte on[CALLERS] = NOTHING;              /* what a call runs on */
bool held[CALLERS];
bool passes[CALLERS];                    /* held by a gate that has opened since: the next one does not stop it */

byte owners;                             /* a set: bit u is upgrader u */
byte old[UPGRADERS] = NOTHING, new[UPGRADERS] = NOTHING;

#define OWNS(u)    (owners & (1 << (u)))
#define OWNER      (OWNS(0) -> 0 : (OWNS(1) -> 1 : (OWNS(2) -> 2 : 3)))
#define UNDECIDED  (phase == PREPARING_UPGRADE || phase == DRAINING || phase == SWAPPING)
#define MAY_BEGIN  (phase == PREPARING_UPGRADE && owners != 0 && new[OWNER] != NOTHING)
#define DRAINED(u) (OWNS(u) && running[CODE(old[u])] == 0)

/* What must hold ------------------------------------------------------------------------------------------------- */

#define AS_BEFORE (current == before && !gate_shut && stage[CODE(current)] == live && !interrupted[CODE(current)])

byte k, boss;                            /* of use within a step, zero between steps */
bool S3 = true, S4 = true, S5 = true, S6 = true, S7 = true, S8 = true;      /* for an error to name its property */

inline must_hold() {
    S3 = is_closed || stage[CODE(current)] != reclaimed;
    S6 = CODE(current) == MANIFEST(current);
    for (k : 0 .. CALLERS - 1) {
        S3 = S3 && (on[k] == NOTHING || stage[CODE(on[k])] == live || stage[CODE(on[k])] == retired);
        S6 = S6 && CODE(on[k]) == MANIFEST(on[k])
    }
    for (k : 0 .. UPGRADERS - 1) { S6 = S6 && CODE(new[k]) == MANIFEST(new[k]) }
    S4 = phase != ROLLED_BACK || AS_BEFORE;
    S5 = (owners & (owners - 1)) == 0 && (phase == ACTIVE || phase == CLOSED) == (owners == 0);
    S7 = ENDLESS || attempts == successes + failures + cancelled + (UNDECIDED && owners != 0);
    S8 = true;
    for (k : 0 .. VERSIONS - 1) {
        S8 = S8 && (stage[k] != live || k == CODE(current) || k == kept) &&
            (stage[k] != candidate || (owners != 0 && k == CODE(new[OWNER])))
    }
    assert(S3); assert(S4); assert(S5); assert(S6); assert(S7); assert(S8);
    k = 0; boss = 0
}

/* What an attempt does that failed while it was prepared, or was cancelled: nothing. */
inline must_be_as_before() { S4 = phase == ACTIVE && AS_BEFORE; assert(S4) }

/* Parts of steps ------------------------------------------------------------------------------------------------- */

#define COUNT(what) what = what + !ENDLESS

inline enter(c) { held[c] = false; passes[c] = false; on[c] = current; running[CODE(current)]++ }
inline leave(c) { running[CODE(on[c])]--; on[c] = NOTHING }

inline open_gate() {
    for (k : 0 .. CALLERS - 1) { passes[k] = passes[k] || (gate_shut && held[k]) }
    gate_shut = false
}

/* The candidate of upgrader u, if it has one, will not serve any more. */
inline drop(u) { if :: new[u] != NOTHING -> stage[CODE(new[u])] = retired :: else fi }

inline let_go(u) { owners = owners & ~(1 << (u)); old[u] = NOTHING; new[u] = NOTHING }

inline claim(u) { phase = PREPARING_UPGRADE; before = current; COUNT(attempts); owners = owners | (1 << (u)) }

/* The lowest number that is fresh becomes the candidate's. */
inline offer(u) {
    k = 0;
    do :: stage[k] != fresh -> k++ :: else -> break od;
    stage[k] = candidate; new[u] = REF(k, k); unused--; serving++
}

inline fail(u) {
    if :: SEEDED != 8 -> drop(u) :: else fi;
    let_go(u); COUNT(failures); phase = ACTIVE; must_be_as_before()
}

inline cancel() {
    boss = OWNER; drop(boss); let_go(boss); phase = ACTIVE; must_be_as_before();
    if :: SEEDED != 7 -> COUNT(cancelled) :: else fi
}

/* Upgrader u executes, whoever prepared. */
inline begin(u) {
    boss = OWNER; k = new[boss]; let_go(boss);
    owners = owners | (1 << (u)); new[u] = k; old[u] = current; kept = CODE(current)
}

inline overlap(u) { begin(u); phase = SWAPPING }
inline exclude(u) { begin(u); exclusive = true; stage[CODE(current)] = retired; gate_shut = true; phase = DRAINING }

/* The candidate becomes current: an upgrade's linearization point. */
inline swap(u) {
    stage[CODE(new[u])] = live; stage[CODE(old[u])] = retired;
    current = (SEEDED == 6 -> REF(CODE(new[u]), MANIFEST(current)) : new[u])
}

inline commit() { open_gate(); COUNT(successes); phase = UPGRADE_COMPLETE; kept = NO_VERSION }

/* OVERLAP has decided with that. EXCLUSIVE has not: the gate stays shut, even for those who might have passed. */
inline interrupt(u) {
    if :: exclusive -> for (k : 0 .. CALLERS - 1) { passes[k] = false } :: else -> commit() fi;
    interrupted[CODE(old[u])] = true
}

inline roll_back(u) {
    stage[kept] = live; interrupted[kept] = false; kept = NO_VERSION;
    current = (SEEDED == 4 -> current : old[u]);
    drop(u); open_gate(); COUNT(failures); phase = ROLLED_BACK
}

inline finish(u) { let_go(u); exclusive = false; phase = ACTIVE }

/* A close wins over the attempt under way, decided or not. A second close finds all of this done. */
inline close() {
    if
    :: owners != 0 -> boss = OWNER; if :: UNDECIDED -> drop(boss); COUNT(failures) :: else fi; let_go(boss)
    :: else
    fi;
    if :: !is_closed -> stage[CODE(current)] = retired :: else fi;
    phase = CLOSED; is_closed = true; gate_shut = false; kept = NO_VERSION
}

inline interrupt_all() {
    for (k : 0 .. VERSIONS - 1) { interrupted[k] = interrupted[k] || stage[k] == retired }
}

/* Threads -------------------------------------------------------------------------------------------------------- */

active [CALLERS] proctype caller() {
end_outside:
    if
    :: d_step { !gate_shut && !is_closed -> enter(C); must_hold() } goto inside
    :: d_step { gate_shut && !is_closed -> held[C] = true; must_hold() } goto at_the_gate
    fi;
at_the_gate:
    if
    :: d_step { !is_closed && (!gate_shut || (passes[C] && phase == DRAINING)) -> enter(C); must_hold() } goto inside
    :: d_step { is_closed -> held[C] = false; passes[C] = false; must_hold() } goto end_outside
    fi;
inside:
    if
    :: d_step { leave(C); must_hold() } goto end_outside
    :: d_step { interrupted[CODE(on[C])] -> leave(C); must_hold() } goto end_outside
    :: on[C] != NOTHING -> goto inside   /* asks for an upgrade from inside, and is refused */
    fi
}

#define STRUCK_OR_CLOSED(u) \
    :: d_step { OWNS(u) && UNDECIDED -> roll_back(u); must_hold() } goto rolled_back \
    :: d_step { is_closed -> exclusive = false } goto HOME

active [UPGRADERS] proctype upgrader() {
    bool exclusive;
end_idle:
    if
    :: d_step { (owners == 0 || SEEDED == 5) && !is_closed -> claim(U); must_hold() } goto preparing
    :: d_step { MAY_BEGIN -> overlap(U); must_hold() } goto swapping
    :: d_step { MAY_BEGIN -> exclude(U); must_hold() } goto draining
    :: owners != 0 -> goto HOME          /* Busy */
    fi;
preparing:
    if
    :: d_step { OWNS(U) && unused > 0 -> offer(U); must_hold() } goto prepared
    :: d_step { OWNS(U) -> fail(U); must_hold() } goto HOME
    :: !OWNS(U) -> goto HOME             /* learns that the attempt is lost */
    fi;
prepared:
    if
    :: d_step { OWNS(U) && MAY_BEGIN -> overlap(U); must_hold() } goto swapping
    :: d_step { OWNS(U) && MAY_BEGIN -> exclude(U); must_hold() } goto draining
    :: d_step { OWNS(U) -> fail(U); must_hold() } goto HOME
    :: OWNS(U) -> goto HOME              /* leaves the candidate to anybody */
    :: !OWNS(U) -> goto HOME
    fi;
swapping:
    if
    :: d_step { OWNS(U) -> swap(U); must_hold() } goto published
    STRUCK_OR_CLOSED(U)
    fi;
published:
    if
    :: d_step { OWNS(U) -> phase = DRAINING; must_hold() } goto draining
    STRUCK_OR_CLOSED(U)
    fi;
draining:
    if
    :: d_step { DRAINED(U) && exclusive -> phase = SWAPPING; must_hold() } goto ready
    :: DRAINED(U) && !exclusive -> goto ready
    :: OWNS(U) && !exclusive -> goto ready                           /* drain timeout: detaches, */
    :: d_step { OWNS(U) -> interrupt(U); must_hold() } goto grace    /* or interrupts, */
    :: d_step { OWNS(U) -> roll_back(U); must_hold() } goto rolled_back      /* or rolls back */
    STRUCK_OR_CLOSED(U)
    fi;
grace:
    if
    :: d_step { DRAINED(U) && exclusive -> phase = SWAPPING; must_hold() } goto ready
    :: DRAINED(U) && !exclusive -> goto committed
    :: d_step { OWNS(U) && exclusive -> roll_back(U); must_hold() } goto rolled_back         /* waits no more */
    :: OWNS(U) && !exclusive -> goto committed
    STRUCK_OR_CLOSED(U)
    fi;
ready:
    if
    :: d_step { OWNS(U) -> if :: exclusive -> swap(U) :: else fi; commit(); must_hold() } goto committed
    STRUCK_OR_CLOSED(U)
    fi;
committed:
    if
    :: d_step { OWNS(U) -> finish(U); must_hold() } goto HOME
    :: d_step { is_closed -> exclusive = false } goto HOME
    fi;
rolled_back:
    if
    :: d_step { OWNS(U) -> finish(U); must_hold() } goto HOME
    :: d_step { is_closed -> exclusive = false } goto HOME
    fi;
end_done: false
}

active [VERSIONS] proctype version() {
end_version:
    do
    :: d_step { stage[V] == retired && V != kept && (running[V] == 0 || SEEDED == 3) ->
        stage[V] = reclaimed; interrupted[V] = false; serving--; must_hold() }
    :: d_step { ENDLESS && stage[V] == reclaimed -> stage[V] = fresh; unused++; must_hold() }
    od
}

#if CANCELLERS
active [CANCELLERS] proctype canceller() {
end_ready:
    if
    :: d_step { phase == PREPARING_UPGRADE -> cancel(); must_hold() } goto READY
    :: owners == 0 && !is_closed -> goto READY                       /* nothing to cancel */
    :: owners != 0 && phase != PREPARING_UPGRADE -> goto READY       /* Busy, too late */
    fi;
end_done: false
}
#endif

#if CLOSERS
active [CLOSERS] proctype closer() {
end_ready:
    d_step { close(); must_hold() };
emptying:
    if
    :: d_step { interrupt_all(); must_hold() } goto insisting        /* drain timeout */
    :: serving == 0 -> goto end_closed
    fi;
insisting: serving == 0;
end_closed: false
}
#endif
