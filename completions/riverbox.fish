# fish completion for riverbox and its hakuriver.* names.
# Install as <prefix>/share/fish/vendor_completions.d/riverbox.fish, or: riverbox completion fish | source
#
# All knowledge is in the program: `riverbox __complete APPLET WORDS...` prints one candidate per line, live names included.

function __riverbox_candidates
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l binary riverbox
    # the riverbox beside the name that was typed, else the one in PATH
    if string match -q '*/*' -- $words[1]; and test -x (dirname -- $words[1])/riverbox
        set binary (dirname -- $words[1])/riverbox
    end
    set -l arguments $words[2..-1] "$current"
    # hakuriver.docker is riverbox docker
    set -l applet (string match -r --groups-only '(?:ko)?hakuriver\.(.+)$' -- $words[1])
    if test -n "$applet"
        set arguments $applet $arguments
    end
    $binary __complete $arguments 2>/dev/null
end

for name in riverbox hakuriver.docker hakuriver.docker-shell hakuriver.host hakuriver.runner hakuriver.client hakuriver.task hakuriver.vps
    complete --command $name --no-files --arguments '(__riverbox_candidates)'
    complete --command $name --long-option config --require-parameter --force-files
end
