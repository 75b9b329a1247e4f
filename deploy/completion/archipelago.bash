# bash completion for archipelago, made by `archipelago completion bash`. Source it, or put it into
# /usr/share/bash-completion/completions/archipelago.
# Names of volumes (--snapshots: and of snapshots) of the state directory that the line names.
_archipelago_names() {
    timeout 2 archipelago volume list --names "$@" "${where[@]}" 2>/dev/null
}
_archipelago() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path= words= cut= i where=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --state | --socket)
                if [[ ${COMP_WORDS[i+1]} == = ]]; then where+=("${COMP_WORDS[i]}" "${COMP_WORDS[i+2]/#\~\//$HOME/}")
                else where+=("${COMP_WORDS[i]}" "${COMP_WORDS[i+1]/#\~\//$HOME/}"); fi ;;
        esac
    done
    if [[ $word == @ ]]; then cut=$previous@ word=
    elif [[ $previous == @ ]]; then cut=${COMP_WORDS[COMP_CWORD-2]}@
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path ${COMP_WORDS[i]}" in
            " up") path=" up" ;;
            " run") path=" run" ;;
            " down") path=" down" ;;
            " status") path=" status" ;;
            " volume") path=" volume" ;;
            " volume create") path=" volume create" ;;
            " volume info") path=" volume info" ;;
            " volume resize") path=" volume resize" ;;
            " volume rename") path=" volume rename" ;;
            " volume delete") path=" volume delete" ;;
            " volume list") path=" volume list" ;;
            " volume snapshot") path=" volume snapshot" ;;
            " volume clone") path=" volume clone" ;;
            " volume rollback") path=" volume rollback" ;;
            " volume flatten") path=" volume flatten" ;;
            " volume open") path=" volume open" ;;
            " volume close") path=" volume close" ;;
            " volume lock") path=" volume lock" ;;
            " volume unlock") path=" volume unlock" ;;
            " volume map") path=" volume map" ;;
            " volume diff") path=" volume diff" ;;
            " volume du") path=" volume du" ;;
            " volume hash") path=" volume hash" ;;
            " volume fsck") path=" volume fsck" ;;
            " volume gc") path=" volume gc" ;;
            " volume import") path=" volume import" ;;
            " volume export") path=" volume export" ;;
            " cache") path=" cache" ;;
            " cache stats") path=" cache stats" ;;
            " cache flush") path=" cache flush" ;;
            " cache policy") path=" cache policy" ;;
            " segment") path=" segment" ;;
            " segment info") path=" segment info" ;;
            " segment ports") path=" segment ports" ;;
            " segment requests") path=" segment requests" ;;
            " segment fsck") path=" segment fsck" ;;
            " segment destroy") path=" segment destroy" ;;
            " bench") path=" bench" ;;
            " config") path=" config" ;;
            " config example") path=" config example" ;;
            " config check") path=" config check" ;;
            " completion") path=" completion" ;;
            " completion bash") path=" completion bash" ;;
            " version") path=" version" ;;
        esac
    done
    case "$path $previous" in
        " up --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " up --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " up --set") COMPREPLY=(); return ;;
        " run --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " run --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " run --set") COMPREPLY=(); return ;;
        " down --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " down --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " down --timeout") COMPREPLY=(); return ;;
        " status --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " status --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume create --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume create --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume create --object-size") COMPREPLY=(); return ;;
        " volume create --from-objects") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume info --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume info --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume resize --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume resize --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume rename --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume rename --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume delete --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume delete --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume list --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume list --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume snapshot --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume snapshot --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume clone --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume clone --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume clone --size") COMPREPLY=(); return ;;
        " volume rollback --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume rollback --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume flatten --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume flatten --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume open --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume open --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume close --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume close --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume lock --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume lock --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume unlock --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume unlock --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume map --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume map --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume diff --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume diff --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume du --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume du --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume hash --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume hash --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume fsck --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume fsck --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume gc --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume gc --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume import --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume import --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume import --format") COMPREPLY=($(compgen -W "raw qcow2" -- "$word")); return ;;
        " volume import --step") COMPREPLY=(); return ;;
        " volume export --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume export --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume export --format") COMPREPLY=($(compgen -W "raw qcow2" -- "$word")); return ;;
        " volume export --step") COMPREPLY=(); return ;;
        " cache stats --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " cache stats --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " cache flush --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " cache flush --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " cache policy --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " cache policy --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " cache policy --safe-until-flush") COMPREPLY=($(compgen -W "yes no" -- "$word")); return ;;
        " segment info --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment info --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment ports --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment ports --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment requests --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment requests --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment fsck --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment fsck --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment destroy --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment destroy --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " bench --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " bench --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " bench --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " bench --set") COMPREPLY=(); return ;;
        " bench --in-process") COMPREPLY=(); return ;;
        " bench --op") COMPREPLY=($(compgen -W "ping read write mixed copy" -- "$word")); return ;;
        " bench --read-ratio") COMPREPLY=(); return ;;
        " bench --pattern") COMPREPLY=($(compgen -W "seq rand zipf" -- "$word")); return ;;
        " bench --theta") COMPREPLY=(); return ;;
        " bench --block-size") COMPREPLY=(); return ;;
        " bench --depth") COMPREPLY=(); return ;;
        " bench --total") COMPREPLY=(); return ;;
        " bench --seconds") COMPREPLY=(); return ;;
        " bench --warm-up") COMPREPLY=(); return ;;
        " bench --objects") COMPREPLY=(); return ;;
        " bench --object-size") COMPREPLY=(); return ;;
        " bench --prefix") COMPREPLY=(); return ;;
        " bench --volume") COMPREPLY=($(compgen -W "$(_archipelago_names)" -- "$word")); return ;;
        " bench --route") COMPREPLY=(); return ;;
        " bench --flow") COMPREPLY=(); return ;;
        " bench --verify") COMPREPLY=($(compgen -W "none meta full" -- "$word")); return ;;
        " bench --generation") COMPREPLY=(); return ;;
        " bench --seed") COMPREPLY=(); return ;;
        " bench --core") COMPREPLY=(); return ;;
        " bench --spin") COMPREPLY=(); return ;;
        " bench --timeout") COMPREPLY=(); return ;;
        " config check --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " config check --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " config check --set") COMPREPLY=(); return ;;
    esac
    case "$path" in
        "") words="up run down status volume cache segment bench config completion version --help" ;;
        " up") words="--state --config --set --detach --json --help" ;;
        " run") words="memd filed radosd cached mapperd vlmcd nbd --state --config --set --help" ;;
        " down") words="--state --socket --json --keep-segment --discard-dirty --timeout --help" ;;
        " status") words="--state --segment --json --help" ;;
        " volume") words="create info resize rename delete list snapshot clone rollback flatten open close lock unlock map diff du hash fsck gc import export --help" ;;
        " volume create") words="--state --socket --json --object-size --from-objects --help" ;;
        " volume info") words="--state --socket --json --help $(_archipelago_names --snapshots)" ;;
        " volume resize") words="--state --socket --json --shrink --help $(_archipelago_names)" ;;
        " volume rename") words="--state --socket --json --help $(_archipelago_names)" ;;
        " volume delete") words="--state --socket --json --snapshots --help $(_archipelago_names --snapshots)" ;;
        " volume list") words="--state --socket --json --flat --names --snapshots --help" ;;
        " volume snapshot") words="--state --socket --json --help $(_archipelago_names)" ;;
        " volume clone") words="--state --socket --json --size --help $(_archipelago_names --snapshots | grep @)" ;;
        " volume rollback") words="--state --socket --json --help $(_archipelago_names --snapshots | grep @)" ;;
        " volume flatten") words="--state --socket --json --help $(_archipelago_names)" ;;
        " volume open") words="--state --socket --json --read-only --standby --help $(_archipelago_names --snapshots)" ;;
        " volume close") words="--state --socket --json --help $(_archipelago_names --snapshots)" ;;
        " volume lock") words="--state --socket --json --help $(_archipelago_names)" ;;
        " volume unlock") words="--state --socket --json --force --help $(_archipelago_names)" ;;
        " volume map") words="--state --socket --json --help $(_archipelago_names --snapshots)" ;;
        " volume diff") words="--state --socket --json --help $(_archipelago_names --snapshots)" ;;
        " volume du") words="--state --socket --json --help $(_archipelago_names)" ;;
        " volume hash") words="--state --socket --json --help $(_archipelago_names --snapshots)" ;;
        " volume fsck") words="--state --socket --json --objects --repair --give-up --help $(_archipelago_names)" ;;
        " volume gc") words="--state --socket --json --dry-run --help" ;;
        " volume import") words="--state --socket --json --format --backing --resume --verify --step --help" ;;
        " volume export") words="--state --socket --json --format --resume --verify --step --help $(_archipelago_names --snapshots)" ;;
        " cache") words="stats flush policy --help" ;;
        " cache stats") words="--state --socket --json --help" ;;
        " cache flush") words="--state --socket --json --help $(_archipelago_names)" ;;
        " cache policy") words="default writeback writethrough off --state --socket --json --volume --safe-until-flush --help $(_archipelago_names)" ;;
        " segment") words="info ports requests fsck destroy --help" ;;
        " segment info") words="--state --segment --json --help" ;;
        " segment ports") words="--state --segment --json --help" ;;
        " segment requests") words="--state --segment --json --help" ;;
        " segment fsck") words="--state --segment --json --repair --discard-dirty --clear-deaths --help" ;;
        " segment destroy") words="--state --segment --json --discard-dirty --help" ;;
        " bench") words="--state --segment --config --set --in-process --op --read-ratio --pattern --theta --block-size --depth --total --seconds --warm-up --objects --object-size --prefix --keep --volume --overwrite-data --route --flow --verify --generation --copy-out --no-flush --full-latency --assert-no-alloc --seed --core --spin --timeout --quiet --json --help" ;;
        " config") words="example check --help" ;;
        " config example") words="--json --help" ;;
        " config check") words="--state --config --set --json --help" ;;
        " completion") words="bash --help" ;;
        " completion bash") words="--help" ;;
        " version") words="--json --help" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cut$word"))
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}
complete -F _archipelago archipelago
